"""The table of stage kinds: a new stage is a function, a config and one row here."""

from collections.abc import Mapping

from llada.reversal import ReversalConfig
from pipelines import (
    checks,
    clean,
    decontaminate,
    deduplicate,
    dialogues,
    evaluate,
    extract,
    filter,
    instructions,
    judge,
    mix,
    pretrain,
    reversal,
    scaling,
    screen,
    source,
    tokenize,
    tokenizer,
    variance,
)
from pipelines.dedup.alarms import no_alarm
from pipelines.dedup.layout import AGAINST
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
    StageKind("clean", clean.CleanConfig, clean.run, "documents", _DOCUMENTS),
    StageKind(
        "filter",
        filter.FilterConfig,
        filter.run,
        "documents",
        _DOCUMENTS,
        spared_by=filter.has_same_statistics,
    ),
    StageKind(
        "screen",
        screen.ScreenConfig,
        screen.run,
        "documents",
        {
            **_DOCUMENTS,
            "url_lists": "listing",
            "word_lists": "listing",
            "toxicity_model": "listing",
        },
        optional=frozenset(screen.SLOTS),
    ),
    StageKind(
        "dedup",
        deduplicate.DedupConfig,
        deduplicate.run,
        "documents",
        {"documents": "documents", **dict.fromkeys(AGAINST, "documents")},
        optional=frozenset(AGAINST),
        checks=(no_alarm,),
    ),
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
        "dialogues",
        dialogues.DialoguesConfig,
        dialogues.run,
        "pairs",
        {"source": "listing", "tokenizer": "tokenizer"},
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
    StageKind("scaling", scaling.ScalingConfig, scaling.run, "report", takes_many="report"),
    StageKind(
        "variance",
        variance.VarianceConfig,
        variance.run,
        "report",
        {"paper": "model", "other": "model", "tokens": "tokens"},
    ),
    StageKind("reversal_world", ReversalConfig, reversal.write_down, "tokens"),
    StageKind(
        "reversal_test",
        reversal.AskConfig,
        reversal.ask,
        "report",
        {"model": "model", "tokens": "tokens"},
    ),
)

STAGE_KINDS: Mapping[str, StageKind] = {kind.kind: kind for kind in _KINDS}
