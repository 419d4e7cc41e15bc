"""Words on the command line that no command knows: one sentence that names the word and what was probably meant."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

from genesys_sync.errors import EX_USAGE


class Parser(argparse.ArgumentParser):
    """Wrong usage ends with 64 (EX_USAGE), as sysexits(3) says, instead of 2; a word that is not known, in the parser that it was for."""

    _words: Sequence[str] = ()

    def error(self, message: str) -> NoReturn:
        for action in self._actions:
            if isinstance(action, argparse._SubParsersAction) and message.endswith(f"required: {action.metavar}"):  # noqa: SLF001
                message = f"say which: {', '.join(action.choices)}"
        self.print_usage(sys.stderr)
        self.exit(EX_USAGE, f"{self.prog}: {message}\n")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As the one of argparse, without leaving anything over: what nobody knows is wrong usage."""
        self._words = list(args or ())
        known, rest = super().parse_known_args(args, namespace)
        if rest:
            self.error(self._unknown(rest[0]))
        return known, rest

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if not isinstance(action, argparse._SubParsersAction) or value in action.choices:  # noqa: SLF001 - there is no public name
            super()._check_value(action, value)
            return
        before = self._words[: self._words.index(value)] if value in self._words else ()
        for word in before:  # `--setings x status`: x is no command, but it is the option that is wrong
            if word.startswith("-") and word.partition("=")[0] not in self._option_string_actions:
                self.error(self._unknown(word))
        self.error(f"there is no {str(action.metavar).lower()} {value!r}{_meant(value, action.choices)}; `{self.prog} --help` shows them")

    def _unknown(self, word: str) -> str:
        if not word.startswith("-"):
            return f"{word!r} is one word too many; `{self.prog} --help` shows what it takes"
        name = word.partition("=")[0]
        options = (option for option in self._option_string_actions if option.startswith("--"))
        return f"there is no option {name}{_meant(name, options)}; `{self.prog} --help` shows them"


def _meant(word: str, known: Iterable[str]) -> str:
    from difflib import get_close_matches

    near = get_close_matches(word, known, n=1)
    return f" (did you mean {near[0]}?)" if near else ""
