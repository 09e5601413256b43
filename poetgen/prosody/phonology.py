"""The Middle Chinese tones and rhyme groups of a character.

The only module that uses the phonology libraries.  Readings are those of the 廣韻 rhyme book (1008),
from `tshet-uinh`; its 206 rhymes are folded into the 106 groups (平水韻) that regulated verse rhymes
by.  A character with several readings keeps all of them; none is guessed from context.
"""

from functools import cache
from typing import NamedTuple

import opencc

_GROUPS = """
平 东:東 冬:冬鍾 江:江 支:支脂之 微:微 鱼:魚 虞:虞模 齐:齊 佳:佳皆 灰:灰咍 真:眞真諄臻 文:文欣 元:元魂痕
平 寒:寒桓 删:刪山 先:先仙 萧:蕭宵 肴:肴 豪:豪 歌:歌戈 麻:麻 阳:陽唐 庚:庚耕清 青:青 蒸:蒸登 尤:尤侯幽
平 侵:侵 覃:覃談 盐:鹽添嚴 咸:咸銜凡
上 董:董 肿:腫 讲:講 纸:紙旨止 尾:尾 语:語 麌:麌姥 荠:薺 蟹:蟹駭 贿:賄海 轸:軫準 吻:吻隱 阮:阮混很
上 旱:旱緩 潸:潸產 铣:銑獮 筱:篠小 巧:巧 皓:晧 哿:哿果 马:馬 养:養蕩 梗:梗耿靜 迥:迥拯等 有:有厚黝
上 寝:寑 感:感敢 俭:琰忝儼 豏:豏檻范
去 送:送 宋:宋用 绛:絳 寘:寘至志 未:未 御:御 遇:遇暮 霁:霽祭 泰:泰 卦:卦怪夬 队:隊代廢 震:震稕 问:問焮
去 愿:願慁恨 翰:翰換 谏:諫襇 霰:霰線 啸:嘯笑 效:效 号:号 个:箇過 祃:禡 漾:漾宕 敬:映諍勁 径:徑證嶝
去 宥:宥候幼 沁:沁 勘:勘闞 艳:豔㮇釅 陷:陷鑑梵
入 屋:屋 沃:沃燭 觉:覺 质:質術櫛 物:物迄 月:月沒 曷:曷末 黠:黠鎋 屑:屑薛 药:藥鐸 陌:陌麥昔 锡:錫 职:職德
入 缉:緝 合:合盍 叶:葉怗業 洽:洽狎乏
"""


class Reading(NamedTuple):
    """One reading of a character."""

    tone: str
    """平, 上, 去 or 入."""
    rhyme: str
    """The 平水 group, named by a simplified character of that tone, e.g. 东 (平) or 送 (去)."""


def readings(character: str) -> frozenset[Reading]:
    """Return all readings of a simplified or traditional character; empty if it is unknown.

    A simplified character has the readings of every traditional character it replaces (后: 后 and
    後).  Variant forms are used only if the rhyme book contains none of these.
    """
    own = _readings_of_own_heads(character)
    if own:
        return own
    import yitizi

    return frozenset(
        reading for variant in yitizi.get(character) for reading in _readings_of_own_heads(variant)
    )


def tones(character: str) -> frozenset[str]:
    """Return the tones of a character: a subset of 平上去入, empty if it is unknown."""
    return frozenset(reading.tone for reading in readings(character))


def rhymes(character: str) -> frozenset[str]:
    """Return the 平水 groups of a character; empty if it is unknown."""
    return frozenset(reading.rhyme for reading in readings(character))


def rhyme_groups(tone: str | None = None) -> tuple[str, ...]:
    """Return the names of the 106 groups (of one tone if given) in their traditional order."""
    return tuple(
        r.rhyme for r in dict.fromkeys(_group_of_rhyme().values()) if tone in (None, r.tone)
    )


@cache
def _group_of_rhyme() -> dict[str, Reading]:
    """Return the 平水 group of each of the 206 rhymes in the 廣韻."""
    table = {}
    for row in _GROUPS.split("\n"):
        tone, *entries = row.split() or ("",)
        for entry in entries:
            name, members = entry.split(":")
            table.update({rhyme: Reading(tone, name) for rhyme in members})
    return table


@cache
def _heads_by_simplified() -> dict[str, list[str]]:
    """Return the head characters of the rhyme book, keyed by themselves and their simplified form."""
    from tshet_uinh import 資料

    heads = list(資料.m字頭檢索)
    simplified = opencc.OpenCC("t2s").convert("\n".join(heads)).split("\n")
    found: dict[str, list[str]] = {}
    for head, simple in zip(heads, simplified, strict=True):
        for key in {head, simple}:
            found.setdefault(key, []).append(head)
    return found


@cache
def _readings_of_own_heads(character: str) -> frozenset[Reading]:
    from tshet_uinh import 資料

    groups = _group_of_rhyme()
    return frozenset(
        groups[entry.來源.韻目]
        for head in _heads_by_simplified().get(character, ())
        for entry in 資料.query字頭(head)
        if entry.來源 is not None
    )
