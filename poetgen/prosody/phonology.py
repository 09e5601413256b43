"""The Middle Chinese tones and rhyme groups of a character.

The only module that uses the phonology libraries.  Readings are those of the 廣韻 rhyme book (1008),
from `tshet-uinh`; its 206 rhymes are folded into the 106 groups (平水韻) that regulated verse rhymes
by.  Characters of Tang verse that the 廣韻 lacks are listed here, with their source.  No reading is
guessed from context: a character has all those of the tones that Tang poets gave it in regulated verse
(`is_in_use`), or, with `any_reading`, all those of the rhyme book.
"""

import json
from functools import cache
from pathlib import Path
from typing import NamedTuple

import opencc

from poetgen.prosody.forms import LEVEL

TONE_COUNTS_FILE = Path(__file__).parent.parent / "resources" / "tone-counts.json"
"""How often characters occur as level and as oblique ones; made by scripts/release/readings.py."""

MIN_OCCURRENCES = 20
"""Occurrences of a character below which all its readings count as used."""

MIN_RATE = 1 / 20
"""The least part of the occurrences in which a tone must be used for its readings to count."""

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

_NEIGHBORS = "东冬 江阳 支微齐佳灰 鱼虞 真文元寒删先 萧肴豪 庚青蒸 覃盐咸 佳麻".split()  # noqa: SIM905
"""Level groups that are accepted as neighbors (邻韵)."""

_SPELLINGS = """
罕䍐 迤迆 髭頿 蒂蔕 歘欻 𫛶𪀦 暌睽 撑樘 嫦常 婷娗 壖堧 樗㯉 搘榰 嶤嶢 拽抴 缗緍 垄壠 葡蒲 䙰褵 㔉斸
毶毿 挝檛 噀潠 澘潸 琊邪 冏囧 簴虡 漩㳬 铘釾 卨禼 㴩灉 𩩉髇 𢋙蟆 虻蝱 幛嶂 熳漫 栧枻 嫮嫭 恹懕 幈屏
㻏玲 𪈺鸀 𡸣嵲 𡏖壒 谹閎 𣙙樕 𢬍擪 碇矴 狠很 桉案 嫓媲 䙀繃 㟧崿 㘭坳 蠕蝡 𩲑䰟 𦨧艒 齓齔 躏藺 趦趑
綘縫 穾窔 毺毹 橱廚 愡憁 嶫嶪 墢坺 乹乾 䴏鷰 㺃狗 䔩蔌 𥕕罅 䒠丰
"""
"""A character, and the head under which the 廣韻 has the same word, by the 集韻, the 康熙字典 or,
for the rarest, the other prints of the poem: 罕 is written 䍐 there."""

_FANQIE = """
廣韻 朣徒紅东 砆甫無虞 𫛸杜奚齐 𫛸特計霁 姮胡登蒸 嫜諸良阳 轭於革陌 鳸侯古麌 皞胡老皓 髹許尤尤
廣韻 滮皮彪尤 嵺落蕭萧 呃烏界卦 娼尺良阳 做臧祚遇 做則箇个
唐韻 摹莫胡虞 㒿呂支支 䫇汝鹽盐
集韻 潇先彫萧 祛丘於鱼 鸶新兹支 淘徒刀豪 焙蒲昧队 撒桑葛曷 滤良據御 蟏先彫萧 薝覩敢感 飓衢遇遇
集韻 揶余遮麻 饧徒郎阳 饧徐盈庚 唼色甲洽 唼作答合 䆗吉弔啸 䆗伊鳥筱 玛母下马 龆田聊萧 璈牛刀豪
集韻 𬴃霍虢陌 瘟烏昆元 榕餘封冬 挍居效效 塌託盍合 趚蘇谷屋 滚古本阮 滚古困愿 𥮘奴店艳 𥮘諾叶叶
集韻 觫蘇谷屋 裩公渾元 蠕汝朱虞 艓達協叶 垞直加麻 霮徒感感 猧烏和歌 燑徒東东 烻尸連先 烻延面霰
集韻 俩里養养 䲺古暗勘 𤃩郎丁青 泼普活曷 瘇豎勇肿 汊楚嫁祃 挣初耕庚 婑鄔果哿 囝九件铣 卼五忽月
集韻 䛏年題齐 䛏女履纸 𣽷斯義寘 髐虛交肴 罫胡挂卦 罫古買蟹 粣色責陌 瞌克盍合 疳沽三覃 犸莫駕祃
集韻 潆維傾庚 氋謨蓬东 氃徒東东 棙郎計霁 嶱丘葛曷 嵂劣戌质 拷苦浩皓 喍鉏佳佳 倮魯果哿 䰀鄔果哿
集韻 㘖牛姦删 唽先的锡 嶛憐蕭萧 㙞逆己纸 醄徒刀豪 躃必益陌 灇徂聰东
玉篇 鹡子席陌 爷以遮麻 呃於革陌 擂力堆灰 垌拖孔董
韻會 匼鄔感感 菂丁歷锡 酦北末曷 褪吐困愿 桤丘其支 擂盧對队 㟼疑到号
篇海 恓先齊齐 晌始兩养 籯餘輕庚 耍沙下马 砍苦感感 擦初戛黠
類篇 薝之廉盐 窼莊交肴
篇韻 廒五牢豪
正韻 䏶部比纸
字彙 逤蘇箇个 㵳落蕭萧 睬此宰贿 獗居月月
正字通 罡居康阳 蝴洪吾虞 𡾼息勇肿 𩠇思晉震 骣鉏版潸 茉彌葛曷
"""
"""By source: a character, its fanqie (反切, two characters) and the 平水 group that this makes.

Sources other than the 廣韻 and 集韻 are cited after the 康熙字典.  唽, 嶛, 醄, 揶, 娼 and 做 have the
fanqie of the same word in another spelling: 𠴭, 嶚, 𨡒, 捓, 倡 and 作.
"""


class Reading(NamedTuple):
    """One reading of a character."""

    tone: str
    """平, 上, 去 or 入."""
    rhyme: str
    """The 平水 group, named by a simplified character of that tone, e.g. 东 (平) or 送 (去)."""


class ToneCounts(NamedTuple):
    """Occurrences of a character at positions of regulated verse whose tone the other characters fix."""

    level: int
    oblique: int


def is_in_use(counts: ToneCounts, *, level: bool) -> bool:
    """Return whether poets used a character as level (else: as oblique), or too rarely to say.

    >>> is_in_use(ToneCounts(1, 19), level=True), is_in_use(ToneCounts(1, 20), level=True)
    (True, False)
    """
    used = counts.level if level else counts.oblique
    return sum(counts) < MIN_OCCURRENCES or used / sum(counts) >= MIN_RATE


def readings(character: str, *, any_reading: bool = False) -> frozenset[Reading]:
    """Return the readings of a simplified or traditional character; empty if it is unknown.

    Of a character with level and oblique readings, those of a tone that poets hardly used are left out,
    unless `any_reading`: 不 is always oblique.

    >>> sorted(readings("不"))
    [Reading(tone='上', rhyme='有'), Reading(tone='入', rhyme='物')]
    >>> Reading("平", "尤") in readings("不", any_reading=True)
    True
    """
    own = _rhyme_book_readings(character)
    counts = None if any_reading else _tone_counts().get(character)
    if counts is None:
        return own
    return frozenset(reading for reading in own if is_in_use(counts, level=reading.tone == LEVEL))


def _rhyme_book_readings(character: str) -> frozenset[Reading]:
    """Return all readings of a character.

    A simplified character has the readings of every traditional character it replaces (后: 后 and
    後).  The table of this module, then variant forms, are used only if the rhyme book contains none
    of these.

    >>> sorted(_rhyme_book_readings("滚"))
    [Reading(tone='上', rhyme='阮'), Reading(tone='去', rhyme='愿')]
    """
    own = _readings_of_own_heads(character) or _added_readings().get(character)
    if own:
        return own
    import yitizi

    return frozenset(
        reading for variant in yitizi.get(character) for reading in _readings_of_own_heads(variant)
    )


def tones(character: str, *, any_reading: bool = False) -> frozenset[str]:
    """Return the tones of a character: a subset of 平上去入, empty if it is unknown."""
    return frozenset(one.tone for one in readings(character, any_reading=any_reading))


def rhymes(character: str, *, any_reading: bool = False) -> frozenset[str]:
    """Return the 平水 groups of a character; empty if it is unknown."""
    return frozenset(one.rhyme for one in readings(character, any_reading=any_reading))


def rhyme_groups(tone: str | None = None) -> tuple[str, ...]:
    """Return the names of the 106 groups (of one tone if given) in their traditional order."""
    return tuple(
        r.rhyme for r in dict.fromkeys(_group_of_rhyme().values()) if tone in (None, r.tone)
    )


def neighbors(group: str) -> frozenset[str]:
    """Return the neighbors of a level group, in which line 1 of a poem may rhyme instead (借韵).

    >>> sorted(neighbors("佳")), sorted(neighbors("歌"))
    (['微', '支', '灰', '麻', '齐'], [])
    """
    return frozenset("".join(row for row in _NEIGHBORS if group in row)) - {group}


@cache
def _tone_counts() -> dict[str, ToneCounts]:
    """Return the counts of the characters that occur often enough, from `TONE_COUNTS_FILE`."""
    table = json.loads(TONE_COUNTS_FILE.read_text(encoding="utf-8"))
    return {character: ToneCounts(*counts) for character, counts in table["characters"].items()}


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
def _added_readings() -> dict[str, frozenset[Reading]]:
    """Return the readings that `_SPELLINGS` and `_FANQIE` give, by simplified and traditional form."""
    found: dict[str, set[Reading]] = {}
    for pair in _SPELLINGS.split():
        found.setdefault(pair[0], set()).update(_readings_of_own_heads(pair[1]))
    by_group = {reading.rhyme: reading for reading in _group_of_rhyme().values()}
    for row in _FANQIE.split("\n"):
        for entry in row.split()[1:]:
            found.setdefault(entry[0], set()).add(by_group[entry[3]])
    to_traditional = opencc.OpenCC("s2t").convert
    return {
        key: frozenset(found[character])
        for character in found
        for key in (character, to_traditional(character))
    }


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
