"""What is behind the id of each problem, and why guard says it; the pages under docs/errors are made of it."""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple

import guard
from guard.dsl.bot_explanations import OF_BOTS

__all__ = ["EXPLANATIONS", "Explanation", "page_of"]


class Explanation(NamedTuple):
    """`meaning` is one sentence on what was found; `why` tells why guard refuses it, or warns of it, and what to do.

    `example` is there for what stands in no file: what guard says of it, and what mends it.
    """

    meaning: str
    why: str
    example: str = ""

    @staticmethod
    def severity_of(code: str) -> str:
        """Return ``error`` or ``warning``."""
        return "warning" if code.startswith("W") else "error"


EXPLANATIONS: Final[dict[str, Explanation]] = {
    "E001": Explanation(
        "The file cannot be read: it is missing, no regular file, forbidden, or not UTF-8.",
        "A rule that is not read protects nothing, so a file that was named must be readable. Save it as UTF-8; "
        "look at its path and rights.",
    ),
    "E002": Explanation(
        "The file is larger than 1 MiB.",
        "The bound keeps a hostile or mistaken file from filling the memory of a running guard. Split a large "
        "pack into several files.",
    ),
    "E003": Explanation(
        "The text is not YAML at this place.",
        "What follows a syntax mistake has no certain meaning, and a rule must never be skipped silently: the "
        "whole file is refused. The usual reasons are a colon and a blank inside a text, an unclosed quote or "
        "bracket, and a shifted indentation.",
    ),
    "E004": Explanation(
        "A key is set twice in one mapping.",
        "Most YAML readers let the last one win and drop the first one silently, perhaps a whole rule. Keep one of the two.",
    ),
    "E005": Explanation(
        "An anchor (&name) or a merge key (<<) stands in the file.",
        "Anchors and merge keys make a value depend on a far line, and can blow a small file up to gigabytes. "
        "Write the value out, or use lists: and macros:.",
    ),
    "E006": Explanation(
        "A value begins with a YAML tag (!name).",
        "A tag asks a reader to build an object of a kind, in some readers any object. A pattern that begins with ! needs quotes.",
    ),
    "E007": Explanation(
        "A tab stands where YAML wants blanks.",
        "YAML does not know how wide a tab is, so the line has no certain level. Indent with blanks.",
    ),
    "E008": Explanation(
        "A value begins with *, & or ! without quotes.",
        "YAML reads *x as an alias, &x as an anchor and !x as a tag, so a pattern such as */USDT would be lost. Quote it.",
    ),
    "E009": Explanation(
        "The file is nested deeper than 20 levels.",
        "No rule needs that; the bound keeps a hostile file from exhausting the reader. It is often an unclosed "
        "bracket or a shifted list.",
    ),
    "E010": Explanation(
        "There is too much of something: values in a file, rules, or different windows over all rules.",
        "Every window is kept for every market, so their number is bounded (16), as are values (50 000) and "
        "rules (2000). Use a window that other rules have.",
    ),
    "E011": Explanation(
        "A mapping of keys and values was expected, and something else was found, or nothing at all.",
        "An empty file and a list where keys belong look as if they were read; then the rules would be gone. Write key: value.",
    ),
    "E012": Explanation(
        "A comma inside { } or [ ] cuts an expression into pieces.",
        "YAML ends a value at each comma of a flow mapping or list, also inside the brackets of a function. Quote the expression.",
    ),
    "E020": Explanation(
        "The key is not one that may stand here.",
        "A misspelt key that is ignored is the oldest way to lose a rule: the file looks right and does "
        "nothing. Unknown keys are refused everywhere.",
    ),
    "E021": Explanation(
        "A key that is needed is missing.",
        "There is no value that guard could safely assume for it.",
    ),
    "E022": Explanation(
        "The value is of another type: a text, a number, true or false, a list, keys and values.",
        "Guessing what was meant would hide a mistake. The message names the type that is wanted.",
    ),
    "E023": Explanation(
        "The word is not one of those that are allowed here.",
        "Modes, levels, classes and the like are fixed words; another one would never match anything.",
    ),
    "E024": Explanation(
        "The number or list is outside of its bounds.",
        "Bounds keep weights positive, ratios within 0 and 1, and limits such that guard can keep them.",
    ),
    "E025": Explanation(
        "The value is of the right type, but cannot mean anything here.",
        "For example a duration without its unit, levels that fall, or a quarantine that is longer than its own "
        "maximum. The message says what was expected.",
    ),
    "E026": Explanation(
        "Two files have a rule of the same name.",
        "One would hide the other, depending on the order of files. Rename one of them; to change a rule of "
        "another file, use override:.",
    ),
    "E027": Explanation(
        "An override or a test names a rule that is not there.",
        "An override that changes nothing, or a test that tests nothing, looks like protection and is none.",
    ),
    "E028": Explanation(
        "A path or pattern names no rule file.",
        "A guard that runs without the rules that it was told to load looks like a calm market. Paths are relative to guard.yaml.",
    ),
    "E030": Explanation(
        "A reference to a secret, ${env:NAME} or ${file:path}, cannot be replaced.",
        "An empty address would send alerts nowhere, silently. Set the variable or mend the path before guard starts.",
    ),
    "E031": Explanation(
        "A variable that begins with GUARD_ is no key of guard.yaml, or its value cannot be read.",
        "A misspelt variable would leave the setting as it was, silently. Keys are written GUARD_A__B for a: {b: ...}.",
    ),
    "E040": Explanation(
        "The expression cannot be read at this place.",
        "The language is small on purpose: and, or, not, comparisons, + - * /, functions and numbers with "
        "units. There is no &&, || or =.",
    ),
    "E041": Explanation(
        "The expression is too long or nested too deeply.",
        "An expression has at most 400 words and 40 levels. Split it with let: or macros:.",
    ),
    "E042": Explanation(
        "Nothing of this name is known here.",
        "A name that stands for nothing would be unknown for ever, and the rule would never fire. `guard rules "
        "features` lists what can be named; score is known in clear: and release: only.",
    ),
    "E043": Explanation(
        "A function or feature is called with a wrong, missing or superfluous argument.",
        "Windows carry their unit and lie between 1 s and 24 h; words are of a fixed set.",
    ),
    "E044": Explanation(
        "A value of one type stands where another one is needed.",
        "For example a number where a condition is expected, or a text that is compared with a number.",
    ),
    "E045": Explanation(
        "The units of two sides do not go together, or one side lacks its unit.",
        "A duration compared with 30 may mean seconds or minutes, and USD are no units of quote. Write the unit.",
    ),
    "E046": Explanation(
        "A ratio is compared with a bare number above 1.",
        "A return of 3 is 300 %: the rule would never fire, and nothing would look wrong. Write 3%; if you mean it, write 3x.",
    ),
    "E047": Explanation(
        "The list $name is not defined in this file.",
        "Lists belong to their file: lists: {majors: [BTC/USDT]} makes $majors.",
    ),
    "E048": Explanation(
        "A name is defined by itself, directly or through others.",
        "It has no value. Name the numbers that it is made of.",
    ),
    "E049": Explanation(
        "Something that must be fixed depends on the market or on time.",
        "Windows and lists are laid out before the first event arrives, so they are constants.",
    ),
    "E050": Explanation(
        "There is no detector of this name.",
        "Detectors are those of guard and of installed packages (entry points guard.detectors).",
    ),
    "E051": Explanation(
        "A parameter of a detector is not known or cannot have this value.",
        "A misspelt parameter would leave its default in force, silently. The page of the detector lists its parameters.",
    ),
    "E052": Explanation(
        "The detector itself is broken: it cannot be loaded, or its formulas are wrong.",
        "The mistake is in the package of the detector, not in the rule. Without its detector the rule cannot run.",
    ),
    "E053": Explanation(
        "A feature of the catalogue is broken.",
        "The mistake is in guard or in the package that adds the feature, not in the rule.",
    ),
    "E060": Explanation(
        "A path under include: leads out of the folder of its guard.yaml or pack, or cannot be followed.",
        "A pack that somebody hands on must not read files elsewhere on the machine. Paths are relative to the "
        "file that includes; copy the file into the folder, or let guard.yaml name it under rules:.",
    ),
    "E065": Explanation(
        "The quarantine of a rule that judges a group of markets holds only a part of the group.",
        "The level belongs to all of the group, so a target that leaves out some of it would hold back by "
        "chance. Leave target: out: it follows per:.",
    ),
    "E066": Explanation(
        "quorum: stands in a rule that judges each market alone.",
        "A quorum counts the markets of a group. Say which group: per: symbol or per: exchange; or leave the quorum out.",
    ),
    "E070": Explanation(
        "An action posts to a webhook that guard.yaml does not have.",
        "Packs name webhooks, guard.yaml gives them their addresses: webhooks: {name: {url: ...}}. A post to "
        "nowhere would be lost in silence.",
    ),
    "E071": Explanation(
        "An action calls what no installed package offers.",
        "Only actions of installed packages (entry points guard.actions) can be called, never a module named in "
        "a file. Install the package.",
    ),
    "E072": Explanation(
        "The action itself is broken: it cannot be loaded, or it does not keep to its contract.",
        "The mistake is in the package of the action, not in the rule.",
        "error[E072 broken-action]: the action 'my_bot' cannot be used: ImportError: no module named 'my_bot'\n\n"
        "Mend or update the package.",
    ),
    "E075": Explanation(
        "`guard rules sweep` was told to try values of a key that the rule does not have.",
        "Only numbers, durations and words of the rule can be tried. Without --param the command lists them.",
        "--param levels.dangr=0.7,0.8\n\n"
        "error[E075 unknown-parameter]: this rule has no number 'levels.dangr'\n\n"
        "--param levels.danger=0.7,0.8",
    ),
    "E076": Explanation(
        "`guard rules sweep` was told to try values of an expression.",
        "A sweep sets one number at a time. Give the number inside the expression a name under let:, and try values of that.",
        "--param when=1%,2%\n\nerror[E076 not-a-number]\n\nlet: {rise: 1%}, when: ret(60s) > rise, --param let.rise=1%,2%",
    ),
    "E077": Explanation(
        "The values that `guard rules sweep` shall try make no sense together.",
        "A range has two ends and goes up, each key is given once, and no more settings are tried than can be looked at.",
        "--param levels.danger=0.9..0.7\n\nerror[E077 wrong-range]\n\n--param levels.danger=0.7..0.9",
    ),
    "E078": Explanation(
        "A series in a test stands for something that is not one feature or a part of a detector.",
        "A series gives the values of one thing that rules read, such as ret(60s) or pump.score.",
        'features: {ret(60s) > 1%: "0x5 1x5"}\n\n'
        "error[E078 unknown-series]: a series stands for one feature\n\n"
        'features: {ret(60s): "0%x5 2%x5"}',
    ),
    "E079": Explanation(
        "A series in a test gives values of a feature that the rule does not read, or gives them twice.",
        "A test that sets what nobody reads tests something else than it says.",
        'features: {trades(5s): "0x5"}\n\n'
        "error[E079 series-not-read]: the rule does not read trades(5s)\n\n"
        "Name a feature that the rule reads.",
    ),
    "E080": Explanation(
        "The values of a series in a test cannot be read.",
        "A series is a row of values and repetitions, in the shorthand that the reference of tests describes.",
        'ret(60s): "0%*5"\n\nerror[E080 series-syntax]\n\nret(60s): "0%x5"',
    ),
    "E081": Explanation(
        "A value of a series in a test lacks its unit, or has another one than its feature.",
        "A return of 2 is 200 %: the test would pass for the wrong reason. Write the unit of the feature.",
        'ret(60s): "0 2"\n\nerror[E081 series-unit]\n\nret(60s): "0% 2%"',
    ),
    "E083": Explanation(
        "An invisible line break stands in the file (U+0085, U+2028 or U+2029).",
        "Readers of YAML end the line there and editors do not, so what is read is not what is seen. It comes "
        "with text copied from a page or a chat; delete it.",
    ),
    "E090": Explanation(
        "A running guard did not take over rules, as one of them has no test.",
        "With reload.require_tests: true only tested rules replace running ones. The old ones run on. `guard "
        "rules test` tells what is missing.",
        "error[E090 untested-rule]\n\nWrite a test that makes the rule fire, and one that keeps it silent.",
    ),
    "E091": Explanation(
        "A running guard did not take over rules, as one of their tests fails.",
        "With reload.require_tests: true only rules whose tests pass replace running ones. The old ones run on.",
        "error[E091 failed-test]\n\n`guard rules test` shows what was expected and what was seen.",
    ),
    "E092": Explanation(
        "A running guard did not take over rules, as their tests took too long.",
        "A reload must end. The old rules run on; make the tests shorter, or set reload.require_tests: false.",
        "error[E092 tests-too-slow]\n\nShorter recordings and warm-ups make tests fast.",
    ),
    "E093": Explanation(
        "The rule files change without a rest, so that a running guard does not read them.",
        "Half-written files must not become rules. The old ones run on; `guard rules reload` reads the files as they are.",
        "error[E093 restless-files]\n\nLet whoever writes the files put each in its place at once (write beside it, then rename).",
    ),
    "E094": Explanation(
        "A running guard could not take over rules because of a mistake of its own.",
        "The old rules run on. Please report it, with the log.",
        "error[E094 reload-failed]\n\nThe log of `guard run` has the reason.",
    ),
    "W001": Explanation(
        "A name is defined and never used: a let:, a macro, a list, or a detector.",
        "It is often the rest of a change, or a misspelling elsewhere. Remove it, or use it.",
    ),
    "W002": Explanation(
        "A condition, or a part of it, is always true or always false; or a factor never changes.",
        "It says nothing of any market. If that is meant, write true or false.",
    ),
    "W003": Explanation(
        "Everybody on the machine can read a file with a secret.",
        "Whoever reads the address of a channel can write to it. Take the right to read away from others.",
    ),
    "W004": Explanation(
        "The key is read, but this version does not act on it.",
        "A safety net that is not there must not look as if it were.",
    ),
    "W005": Explanation(
        "clear: or release: holds at scores at which the level holds too.",
        "The level would begin and end again and again while nothing changes, with a message each time. Set it "
        "clearly below the level's score.",
    ),
    "W006": Explanation(
        "A comparison can never hold, or always holds, whatever the market does.",
        "A share is never above 100 %, a count never below 0, a score never above 1: the threshold has a "
        "mistake, often in its unit.",
    ),
    "W007": Explanation(
        "Conditions that are joined by and exclude each other.",
        "The rule can never fire. One of the bounds, or its direction, is wrong; if either is enough, write or.",
    ),
    "W008": Explanation(
        "A condition says nothing beside another one that is stricter.",
        "Nothing changes without it. Often the bound that was meant to be changed is the other one.",
    ),
    "W009": Explanation(
        "An exception under unless: holds whenever the condition does.",
        "The rule can never fire. An exception describes markets or moments in which when: holds and is harmless.",
    ),
    "W010": Explanation(
        "for: is longer than the window of a move that when: asks for.",
        "A move of 2 % in 10 s that must hold for 5 min is a move of 60 % in all. Shorten for:, or look at a longer window.",
    ),
    "W011": Explanation(
        "A level, or the actions of one, can never be reached.",
        "The factors cannot add up to its score, level: is another one, or a soft detector stays at warning "
        "because no factor of another kind supports it. What hangs on the level will never happen.",
    ),
    "W012": Explanation(
        "The mode is enforce, and no level that can be reached has a quarantine.",
        "The rule never holds anything back. Add a quarantine to its actions, or say alert, which is what it does.",
    ),
    "W013": Explanation(
        "The rule needs a stream to which no exchange of guard.yaml subscribes.",
        "It can never fire. Add the stream (streams: [trades, book]) or leave the rule out.",
    ),
    "W014": Explanation(
        "The scope of the rule holds no market that guard.yaml watches.",
        "It can never fire. Names of exchanges are those of guard.yaml, symbols are written as ccxt does.",
    ),
    "W015": Explanation(
        "A rule that may hold a market back has no title: or no why:.",
        "Both are what people read when they are woken by it, or ask why an order was refused.",
    ),
    "W016": Explanation(
        "A secret stands in guard.yaml in plain text.",
        "Files are copied, committed and shown. Put it into a variable or a file: ${env:NAME}, ${file:path}. "
        "Exchange keys belong nowhere here, guard needs none.",
    ),
    "W065": Explanation(
        "A single market of an exchange would block the whole exchange.",
        "A rule per exchange with a quarantine and a quorum of one lets one odd coin stop all trading there. "
        "Ask for several markets, or a share.",
    ),
    "W066": Explanation(
        "The scope names fewer markets or exchanges than the quorum asks for.",
        "No group is ever large enough, so that the rule can never fire. Name more in scope, or ask for fewer.",
    ),
    "W070": Explanation(
        "An action names a webhook, and the packs were checked without a guard.yaml.",
        "Nobody can tell here whether the webhook is there. `guard rules check` of guard.yaml sees it.",
    ),
    "W017": Explanation(
        "The password of a bot's interface is sent without encryption over a network that is not your own.",
        "Whoever is on the way can read it, and command the bot with it. Write https://, or reach the bot through a tunnel.",
    ),
    "W071": Explanation(
        "A webhook posts without encryption over a network that is not your own.",
        "Whoever is on the way can read its headers and keep events back. Write https://.",
    ),
    **{code: Explanation(*texts) for code, texts in OF_BOTS.items()},
}


def page_of(code: str) -> str | None:
    """Return the page of an id as Markdown, with examples; None where guard was installed without its pages."""
    beside = Path(guard.__file__).parent
    for folder in (beside / "docs", beside.parent / "docs"):
        page = folder / "errors" / f"{code}.md"
        if page.is_file():
            return page.read_text(encoding="utf-8").rstrip("\n")
    return None
