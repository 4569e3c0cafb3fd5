"""The table of stage kinds: a new stage is a function, a config and one row here."""

from collections.abc import Mapping

from pipelines import (
    checks,
    decontaminate,
    deduplicate,
    evaluate,
    extract,
    filter,
    instructions,
    judge,
    mix,
    pretrain,
    source,
    tokenize,
    tokenizer,
)
from workflows.stage import Product, StageKind

_DOCUMENTS: Mapping[str, Product] = {"documents": "documents"}

_KINDS = (
    StageKind("source", source.SourceConfig, source.run, "listing", outside=source.identity),
    StageKind(
        "extract",
        extract.ExtractConfig,
        extract.run,
        "documents",
        {"source": "listing"},
        checks=(checks.unique_ids,),  # the stages after it only ever take documents away
    ),
    StageKind("filter", filter.FilterConfig, filter.run, "documents", _DOCUMENTS),
    StageKind("dedup", deduplicate.DedupConfig, deduplicate.run, "documents", _DOCUMENTS),
    StageKind("judge", judge.JudgeConfig, judge.run, "documents", _DOCUMENTS),
    StageKind(
        "decontaminate",
        decontaminate.DecontaminateConfig,
        decontaminate.run,
        "documents",
        {"documents": "documents", "benchmarks": "listing"},
    ),
    StageKind(
        "mix",
        mix.MixConfig,
        mix.run,
        "documents",
        takes_many="documents",
        checks=(checks.unique_copies,),  # one document through two slots would count twice
    ),
    StageKind("tokenizer", tokenizer.TokenizerConfig, tokenizer.run, "tokenizer", _DOCUMENTS),
    StageKind(
        "tokens",
        tokenize.TokensConfig,
        tokenize.run,
        "tokens",
        {"documents": "documents", "tokenizer": "tokenizer"},
    ),
    StageKind(
        "instructions",
        instructions.InstructionsConfig,
        instructions.run,
        "pairs",
        {"tokenizer": "tokenizer"},
    ),
    StageKind(
        "pretrain",
        pretrain.PretrainConfig,
        pretrain.pretrain,
        "model",
        {"tokens": "tokens"},
        policy="pin",
        cpus_per_worker=1.0,
    ),
    StageKind(
        "sft",
        pretrain.SftConfig,
        pretrain.finetune,
        "model",
        {"model": "model", "pairs": "pairs"},
        policy="pin",
        cpus_per_worker=1.0,
    ),
    StageKind(
        "evaluate",
        evaluate.EvaluateConfig,
        evaluate.run,
        "report",
        {"model": "model", "tokens": "tokens", "pairs": "pairs"},
        optional=frozenset({"tokens", "pairs"}),
    ),
)

STAGE_KINDS: Mapping[str, StageKind] = {kind.kind: kind for kind in _KINDS}
