"""What may be written next, on real verses."""

from typing import Any

import pytest

from poetgen.data.vocab import Vocabulary
from poetgen.errors import ConstraintError, UsageError
from poetgen.sampling.constraints import check_prompt
from poetgen.sampling.draft import Broken, Draft, Next
from poetgen.sampling.prompt import Prompt
from poetgen.sampling.request import Constraints, Request
from poetgen.sampling.rules import Rules, rhyming

HERON_TOWER = "白日依山尽，黄河入海流。欲穷千里目，更上一层楼。"
QUIET_NIGHT = "床前明月光，疑是地上霜。举头望明月，低头思故乡。"
WHITE_EMPEROR = "朝辞白帝彩云间，千里江陵一日还。两岸猿声啼不住，轻舟已过万重山。"
SPRING_VIEW = (
    "国破山河在，城春草木深。感时花溅泪，恨别鸟惊心。"
    "烽火连三月，家书抵万金。白头搔更短，浑欲不胜簪。"
)
CHARACTERS = dict.fromkeys(
    c
    for c in HERON_TOWER
    + QUIET_NIGHT
    + WHITE_EMPEROR
    + SPRING_VIEW
    + "秋愁舟洲游休头忧州求风空东同中"
    if c not in "，。"
)
VOCAB = Vocabulary(("<pad>", "<bos>", "<eos>", "<unk>", *"，。？！", *CHARACTERS))


def written(text: str, vocab: Vocabulary = VOCAB, **constraints: Any) -> tuple[Rules, Draft]:
    rules = Rules(Constraints(**constraints), vocab)
    draft = rules.start
    for character in text:
        draft = rules.write(draft, character)
    return rules, draft


def following(text: str, **constraints: Any) -> Next:
    rules, draft = written(text, **constraints)
    return rules.next(draft)


def refusal(text: str, **constraints: Any) -> str:
    with pytest.raises(ConstraintError) as caught:
        check_prompt(Request(1, prompt=Prompt(text), constraints=Constraints(**constraints)), VOCAB)
    assert caught.value.exit_code == 3
    return caught.value.why


@pytest.mark.parametrize(
    ("poem", "form", "group"),
    [(HERON_TOWER, "五绝", "尤"), (WHITE_EMPEROR, "七绝", "删"), (SPRING_VIEW, "五律", "侵")],
)
def test_regulated_poems_keep_all_constraints(poem: str, form: str, group: str) -> None:
    vocab = Vocabulary((*VOCAB.symbols, *"颜关弯湾环班攀蛮斑阴林音吟琴禽寻临"))
    every = "".join(poem[i] for i in range(len(poem)) if i == 0 or poem[i - 1] in "，。")
    rules, draft = written(
        poem, vocab, form=form, rhyme=True, rhyme_group=group, tones=True, acrostic=every
    )
    assert rules.next(draft) == Next(end=True)


@pytest.mark.parametrize(
    ("text", "constraints", "why"),
    [
        (
            "床前明月光，",
            {"form": "七绝"},
            "， after 第5字 光 ends a line of 5; the lines of 七绝 have 7 characters",
        ),
        ("床前明月光疑", {"form": "五绝"}, "第6字 疑 is too much: a line of 五绝 has 5 characters"),
        (
            "床前明月光。疑是",
            {"form": "五绝"},
            "。 after 第5字 光 stands where 五绝 has one of ，？！",
        ),
        (
            HERON_TOWER + "白",
            {"form": "五绝"},
            "第21字 白 is too much: the poem has 4 lines",
        ),
        ("，床", {"form": "五绝"}, "， after the beginning has no line before it"),
        # 疑是地上霜: 上 is oblique where 仄仄仄平平 has a level fourth place.
        (QUIET_NIGHT, {"form": "五绝", "tones": True}, "第9字 上 is oblique; 平 is needed here"),
        # 对: after 平平 … the second line has an oblique second place.
        (
            "床前明月光，低头",
            {"form": "五绝", "tones": True},
            "第7字 头 is level; 仄 is needed here",
        ),
        (
            "白日依山尽，黄河入海愁。欲穷千里目，更上一层霜",
            {"form": "五绝", "rhyme": True},
            "第20字 霜 rhymes in 阳; 尤 is needed here",
        ),
        (
            "白日依山尽，黄河入海流。欲穷千里目，更上一层流",
            {"form": "五绝", "rhyme": True},
            "第20字 流 has rhymed before",
        ),
        (
            "白日依山尽，黄河入海月",
            {"form": "五绝", "rhyme": True},
            "第10字 月 has no level reading to rhyme by",
        ),
        (
            "白日依山尽，黄河入海流",
            {"form": "五绝", "rhyme_group": "东"},
            "第10字 流 rhymes in 尤; 东 is needed here",
        ),
        # Line 1 ends level, so it rhymes; with the group that was asked for.
        (
            "更上一层楼",
            {"form": "五绝", "rhyme_group": "东", "tones": True},
            "第5字 楼 rhymes in 尤; 东 is needed here",
        ),
        ("床前", {"acrostic": "春夏秋冬"}, "第1字 床 stands where the acrostic needs 春"),
        (
            "床前明月光，疑是地上霜。举",
            {"acrostic": "床疑"},
            "第11字 举 is too much: the poem has 2 lines",
        ),
        (
            "床前明月，",
            {"acrostic": "光霜", "acrostic_at": "end"},
            "， after 第4字 月 stands where the acrostic needs 光",
        ),
    ],
)
def test_a_prompt_that_breaks_a_constraint_is_told_where(
    text: str, constraints: dict[str, Any], why: str
) -> None:
    assert refusal(text, **constraints) == why


def test_a_prompt_without_constraints_is_never_refused() -> None:
    check_prompt(Request(1, prompt=Prompt("，，床。")), VOCAB)


def test_an_acrostic_that_cannot_end_the_lines_is_refused_at_once() -> None:
    ends: dict[str, Any] = {"form": "五绝", "acrostic_at": "end"}
    assert refusal("", rhyme=True, acrostic="光流目霜", **ends) == (
        "line 4 cannot end in 霜: it rhymes in 阳; 尤 is needed here"
    )
    assert refusal("", rhyme=True, acrostic="光流目流", **ends) == (
        "line 4 cannot end in 流: it has rhymed before"
    )
    assert refusal("", tones=True, acrostic="光流山楼", **ends) == (
        "line 3 cannot end in 山: it has the wrong tone for every order of lines that is left"
    )
    check_prompt(
        Request(1, constraints=Constraints(rhyme=True, tones=True, acrostic="尽流目楼", **ends)),
        VOCAB,
    )


def test_constraints_that_contradict_each_other_are_refused_as_such() -> None:
    with pytest.raises(UsageError, match="tones need a form"):
        Rules(Constraints(tones=True), VOCAB)
    with pytest.raises(UsageError, match="has 3 characters, but 五绝 has 4 lines"):
        Rules(Constraints(form="五绝", acrostic="春夏秋"), VOCAB)


def test_no_rhyme_group_is_opened_that_cannot_serve_the_poem() -> None:
    # VOCAB has four characters that rhyme in 侵: 深 心 金 簪, and an octave may need five.
    _, draft = written("", form="五绝", rhyme=True)
    assert "侵" in draft.ways[0].groups
    _, draft = written("", form="五律", rhyme=True)
    assert "侵" not in draft.ways[0].groups
    assert refusal("", form="五律", rhyme_group="侵") == (
        "the model knows fewer than the 5 characters needed that rhyme in 侵"
    )


def test_the_marks_of_a_form() -> None:
    assert following("床前明月光", form="五绝") == Next(marks="，？！")
    assert following("床前明月光，疑是地上霜", form="五绝") == Next(marks="。？！")
    assert following("床前明月", form="五绝").marks == ""


def test_the_orders_of_lines_that_are_open_grow_fewer() -> None:
    def orders(text: str) -> list[str]:
        return [way.order for way in written(text, form="五绝", tones=True)[1].ways]

    assert orders("白") == ["aBbA", "ABbA", "bAaB", "BAaB"]
    assert orders("白日") == ["aBbA", "ABbA"]
    assert orders("白日依山尽") == ["aBbA"]


def test_a_level_end_of_line_1_opens_its_rhyme_group_alone_where_tones_are_asked_for() -> None:
    with_tones = written("更上一层楼", form="五绝", tones=True, rhyme=True)[1]
    assert [(way.order, way.groups) for way in with_tones.ways] == [("ABbA", frozenset("尤"))]
    (free,) = written("更上一层楼", form="五绝", rhyme=True)[1].ways
    assert len(free.groups) > 1


def test_an_end_of_line_1_that_may_be_level_or_oblique_leaves_both_open() -> None:
    # 光 is level in 阳 and oblique in 漾: it rhymes in BAaB, and does not in bAaB.
    draft = written("床前明月光", form="五绝", tones=True, rhyme=True)[1]
    assert [way.order for way in draft.ways] == ["bAaB", "BAaB"]
    assert frozenset("阳") == draft.ways[1].groups < draft.ways[0].groups


def test_a_character_of_several_readings_keeps_several_groups_open() -> None:
    vocab = Vocabulary((*VOCAB.symbols, "重", "峰", "冬"))  # 重 rhymes in 冬, 中 and 空 in 东
    _, draft = written("白日依山尽，轻舟过万重", vocab, form="五绝", rhyme=True)
    assert draft.ways[0].groups == frozenset("冬") & draft.ways[0].groups


def test_without_a_form_the_second_line_of_a_rhyming_couplet_is_as_long_as_the_first() -> None:
    assert following("白日依山", rhyme=True).marks == "，？！"
    assert following("白日依山尽，黄河入", rhyme=True).marks == ""
    at_end = following("白日依山尽，黄河入海", rhyme=True)
    assert at_end.marks == ""
    assert at_end.kinds[0].groups
    assert following("白日依山尽，黄河入海流", rhyme=True) == Next(marks="。？！")
    # A longer line of the prompt's goes on until it rhymes.
    overlong = following("白日依山尽，黄河入海流月", rhyme=True)
    assert (overlong.marks, bool(overlong.kinds[0].groups)) == ("", True)


def test_without_a_form_a_rhyming_poem_ends_after_two_couplets_or_more() -> None:
    couplet = HERON_TOWER[:12]
    assert not following(couplet, rhyme=True).end
    assert not following(HERON_TOWER[:18], rhyme=True).end
    whole = following(HERON_TOWER, rhyme=True)
    assert whole.end
    assert whole.kinds
    assert not following(HERON_TOWER + "白", rhyme=True).end


def test_where_no_rhyme_is_left_the_poem_ends() -> None:
    rules, draft = written(HERON_TOWER, rhyme=True)
    left = frozenset(rhyming(VOCAB, level=False)["尤"]) - draft.rhymed
    assert "秋" in left
    assert rules.next(draft._replace(rhymed=draft.rhymed | (left - {"秋"}))).kinds
    assert rules.next(draft._replace(rhymed=draft.rhymed | left)) == Next(end=True)


def test_an_acrostic_without_a_form_has_as_many_lines_as_characters() -> None:
    assert following("", acrostic="床疑").only == "床"
    assert following("床前明月光，", acrostic="床疑").only == "疑"
    assert following("床前明月光，疑是地", acrostic="床疑").marks == "。？！"
    assert following("床前明月光，疑是地上霜。", acrostic="床疑") == Next(end=True)


def test_an_acrostic_at_the_end_without_a_form_makes_lines_of_one_length() -> None:
    ends = {"acrostic": "光霜", "acrostic_at": "end"}
    assert following("床前明月", **ends).only == ""
    assert following("床前明月明月", **ends).only == "光"
    assert following("床前明月光，疑是地上", **ends).only == "霜"
    assert following("床前明月光，疑是地上霜", **ends) == Next(marks="。？！")


def test_a_character_of_the_acrostic_that_the_model_does_not_know_is_forced() -> None:
    rules, draft = written("", acrostic="鹤床")
    assert rules.forced(draft) == "鹤"
    rules, draft = written("鹤前明月，", acrostic="鹤床")
    assert rules.forced(draft) is None


def test_broken_is_said_of_the_character() -> None:
    rules, draft = written("床前明月光", form="五绝")
    with pytest.raises(Broken, match=r"^is too much: a line of 五绝 has 5 characters$"):
        rules.write(draft, "疑")
