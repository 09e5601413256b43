"""Verses that several test files share."""

HERON_TOWER = "白日依山尽，黄河入海流。欲穷千里目，更上一层楼。"
QUIET_NIGHT = "床前明月光，疑是地上霜。举头望明月，低头思故乡。"
WHITE_EMPEROR = "朝辞白帝彩云间，千里江陵一日还。两岸猿声啼不住，轻舟已过万重山。"
SPRING_VIEW = (
    "国破山河在，城春草木深。感时花溅泪，恨别鸟惊心。"
    "烽火连三月，家书抵万金。白头搔更短，浑欲不胜簪。"
)
ALPHABET = tuple(
    c
    for c in dict.fromkeys(
        HERON_TOWER + QUIET_NIGHT + WHITE_EMPEROR + SPRING_VIEW + "秋愁舟洲游休头忧州求风空东同中"
    )
    if c not in "，。"
)
"""The characters of these verses, and some more to rhyme with."""
