"""From a language code to the `lang_Script` that published limits are named by.

fastText's lid.176 answers with the codes of Wikipedias (ISO 639-1 where there is one), limits are
published per ISO 639-3 code and ISO 15924 script (`zh` -> `cmn_Hani`). Two traps: `als` is
Alemannic in lid.176 and `als_Latn` is Albanian; and a macrolanguage (`ar`, `zh`, `ms`, `fa`) goes
by its standard language, whose limits were measured.
"""

import functools
from collections.abc import Iterable
from typing import Final

import pyarrow as pa
import regex

from filters.errors import FilterError, unknown
from filters.text import TextBatch, prefix

_SCRIPTS: Final = {
    "Arab": "Arabic", "Beng": "Bengali", "Cyrl": "Cyrillic", "Deva": "Devanagari",
    "Gujr": "Gujarati", "Guru": "Gurmukhi", "Knda": "Kannada", "Latn": "Latin",
    "Mlym": "Malayalam", "Orya": "Oriya", "Taml": "Tamil", "Telu": "Telugu",
}  # fmt: skip
"""Those between which a text decides, and their names in Unicode."""

_ROUTES: Final = (
    "af=afr_Latn als=gsw_Latn am=amh_Ethi an=arg_Latn ar=arb_Arab/arb_Latn arz=arz_Arab "
    "as=asm_Beng/asm_Latn ast=ast_Latn av=ava_Cyrl az=azj_Latn/azj_Cyrl azb=azb_Arab "
    "ba=bak_Cyrl bar=bar_Latn bcl=bcl_Latn be=bel_Cyrl bg=bul_Cyrl bh=bho_Deva "
    "bn=ben_Beng/ben_Latn bo=bod_Tibt bpy=bpy_Beng br=bre_Latn bs=bos_Latn bxr=bxr_Cyrl "
    "ca=cat_Latn cbk=cbk_Latn ce=che_Cyrl ceb=ceb_Latn ckb=ckb_Arab co=cos_Latn cs=ces_Latn "
    "cv=chv_Cyrl cy=cym_Latn da=dan_Latn de=deu_Latn diq=diq_Latn dsb=dsb_Latn dty=dty_Deva "
    "dv=div_Thaa el=ell_Grek eml=egl_Latn en=eng_Latn eo=epo_Latn es=spa_Latn et=ekk_Latn "
    "eu=eus_Latn fa=fas_Arab fi=fin_Latn fr=fra_Latn frr=frr_Latn fy=fry_Latn ga=gle_Latn "
    "gd=gla_Latn gl=glg_Latn gn=gug_Latn gom=gom_Deva/gom_Latn gu=guj_Gujr/guj_Latn "
    "gv=glv_Latn he=heb_Hebr hi=hin_Deva/hin_Latn hif=hif_Latn hr=hrv_Latn hsb=hsb_Latn "
    "ht=hat_Latn hu=hun_Latn hy=hye_Armn ia=ina_Latn id=ind_Latn ie=ile_Latn ilo=ilo_Latn "
    "io=ido_Latn is=isl_Latn it=ita_Latn ja=jpn_Jpan jbo=jbo_Latn jv=jav_Latn ka=kat_Geor "
    "kk=kaz_Cyrl km=khm_Khmr kn=kan_Knda/kan_Latn ko=kor_Hang krc=krc_Cyrl "
    "ku=kmr_Latn/kmr_Cyrl kv=kpv_Cyrl kw=cor_Latn ky=kir_Cyrl la=lat_Latn lb=ltz_Latn "
    "lez=lez_Cyrl li=lim_Latn lmo=lmo_Latn lo=lao_Laoo lrc=lrc_Arab lt=lit_Latn lv=lvs_Latn "
    "mai=mai_Deva mg=plt_Latn mhr=mhr_Cyrl min=min_Latn/min_Arab mk=mkd_Cyrl "
    "ml=mal_Mlym/mal_Latn mn=khk_Cyrl mr=mar_Deva/mar_Latn mrj=mrj_Cyrl ms=zsm_Latn/zsm_Arab "
    "mt=mlt_Latn mwl=mwl_Latn my=mya_Mymr myv=myv_Cyrl mzn=mzn_Arab nah=nah_Latn nap=nap_Latn "
    "nds=nds_Latn ne=npi_Deva/npi_Latn new=new_Deva nl=nld_Latn nn=nno_Latn no=nob_Latn "
    "oc=oci_Latn or=ory_Orya/ory_Latn os=oss_Cyrl pa=pan_Guru/pan_Latn pam=pam_Latn "
    "pfl=pfl_Latn pl=pol_Latn pms=pms_Latn pnb=pnb_Arab ps=pbt_Arab pt=por_Latn qu=quy_Latn "
    "rm=roh_Latn ro=ron_Latn/ron_Cyrl ru=rus_Cyrl rue=rue_Cyrl sa=san_Deva/san_Latn "
    "sah=sah_Cyrl sc=srd_Latn scn=scn_Latn sco=sco_Latn sd=snd_Arab/snd_Deva/snd_Latn "
    "sh=hrv_Latn/srp_Cyrl si=sin_Sinh sk=slk_Latn sl=slv_Latn so=som_Latn sq=als_Latn "
    "sr=srp_Cyrl/srp_Latn su=sun_Latn sv=swe_Latn sw=swh_Latn ta=tam_Taml/tam_Latn "
    "te=tel_Telu/tel_Latn tg=tgk_Cyrl th=tha_Thai tk=tuk_Latn/tuk_Cyrl/tuk_Arab tl=fil_Latn "
    "tr=tur_Latn tt=tat_Cyrl/tat_Latn tyv=tyv_Cyrl ug=uig_Arab/uig_Cyrl/uig_Latn uk=ukr_Cyrl "
    "ur=urd_Arab/urd_Latn uz=uzn_Latn/uzn_Cyrl vec=vec_Latn vep=vep_Latn vi=vie_Latn "
    "vls=vls_Latn vo=vol_Latn wa=wln_Latn war=war_Latn wuu=wuu_Hani xal=xal_Cyrl xmf=xmf_Geor "
    "yi=ydd_Hebr yo=yor_Latn yue=yue_Hani zh=cmn_Hani"
)
LID_176: Final = {
    code: tuple(scripts.split("/"))
    for code, _, scripts in (route.partition("=") for route in _ROUTES.split())
}
"""Each label of lid.176 and the scripts that limits know it in, the usual one first."""

UNDETERMINED = "und"
"""The language of a text that fastText has no answer for (ISO 639-2)."""

_LONGEST_CODE = 3
_LOOKED_AT = 2_000
"""Bytes from the start of a text that decide its script."""


def check_language(code: str, allowed: Iterable[str] = tuple(LID_176)) -> None:
    """Raise FilterError for a code that is not allowed; for `deu` and `deu_Latn` it names `de`.

    A language's name has no near code: of all codes `sh` looks most like "english".
    """
    if code in (*allowed, UNDETERMINED):
        return
    begins = code.lower().replace("_", "-").partition("-")[0]
    meant = (
        short
        for short, scripts in LID_176.items()
        if begins == short or any(one.startswith(f"{begins}_") for one in scripts)
    )
    near = next(meant, "")
    if not near and len(begins) > _LONGEST_CODE:
        raise FilterError(
            f"unknown language {code!r}; write its ISO 639 code, as fastText's lid.176 does: en, "
            f"de, zh, ceb, one of {len(tuple(allowed))}"
        )
    raise unknown("language", code, allowed, near)


def is_script_code(language: str) -> bool:
    """Return whether a name has the form of `deu_Latn`."""
    return regex.fullmatch(r"[a-z]{3}_[A-Z][a-z]{3}", language) is not None


def scripts_of(languages: pa.Array | pa.ChunkedArray, texts: pa.Array) -> pa.Array:
    """Return the lang_Script of N texts by their languages; null for those no table knows.

    `languages` are codes of lid.176 or lang_Scripts already. Of a language that is written in
    several scripts, that which most letters at the start of the text are in.
    """
    if len(languages) != len(texts):
        raise FilterError(
            f"{len(languages)} languages but {len(texts)} texts; they go row by row: give one each"
        )
    batch = TextBatch.of(texts)
    found: list[str | None] = []
    for index, language in enumerate(languages.to_pylist()):
        candidates = LID_176.get(language, ())
        if len(candidates) > 1:
            found.append(_nearest(candidates, prefix(batch, index, _LOOKED_AT)))
        elif candidates:
            found.append(candidates[0])
        else:
            found.append(language if language and is_script_code(language) else None)
    return pa.array(found, pa.string())


def script_of(language: str) -> str:
    """Return the usual lang_Script of one code; FilterError where there is none."""
    if is_script_code(language):
        return language
    if language not in LID_176:
        raise unknown("language", language, LID_176)
    return LID_176[language][0]


def _nearest(candidates: tuple[str, ...], text: str) -> str:
    return max(candidates, key=lambda each: len(_letters(each[4:]).findall(text)))


@functools.cache
def _letters(script: str) -> "regex.Pattern[str]":
    return regex.compile(rf"\p{{Script={_SCRIPTS[script]}}}")
