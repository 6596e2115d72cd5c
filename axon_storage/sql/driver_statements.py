"""DriverStatement: a Core statement as the text and the parameters that a driver takes."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import Executable, Select
from sqlalchemy.engine.interfaces import Dialect as DriverDialect

_Processor = Callable[[Any], Any]


class DriverStatement:
    """The text of a statement for a driver, which converts values as SQLAlchemy's own execution does.

    ``text``: the statement, with the driver's placeholders. ``is_complete``: it does not depend on the values, as that
    of a list in parentheses does. Create it with :func:`driver_statement`.
    """

    def __init__(self, statement: Any, dialect: DriverDialect) -> None:
        compiled = statement.compile(dialect=dialect)
        self.text: str = compiled.string
        self.is_complete = not any(parameter.expanding for parameter in compiled.binds.values())
        self._constants = compiled.params
        self._binds = [(name, _bind_processor(compiled.binds[name], dialect)) for name in compiled.positiontup]
        columns = statement.selected_columns if isinstance(statement, Select) else ()
        processors = [column.type.dialect_impl(dialect).result_processor(dialect, None) for column in columns]
        self._results = [(number, each) for number, each in enumerate(processors) if each is not None]

    def arguments(self, parameters: Mapping[str, Any]) -> list[Any]:
        """Return the values of the placeholders, in order."""
        values = self._constants | parameters if len(self._constants) > len(parameters) else parameters
        return [values[name] if convert is None else convert(values[name]) for name, convert in self._binds]

    def rows(self, fetched: Iterable[Sequence[Any]]) -> Iterator[list[Any]]:
        """Yield the rows that the driver fetched, with their values converted."""
        for values in fetched:
            row = list(values)
            for number, convert in self._results:
                row[number] = convert(row[number])
            yield row


_by_dialect: "WeakKeyDictionary[DriverDialect, dict[Executable, DriverStatement]]" = WeakKeyDictionary()


def driver_statement(statement: Executable, dialect: DriverDialect) -> DriverStatement:
    """Return a statement for a driver; compiled once, because statements are cached."""
    statements = _by_dialect.setdefault(dialect, {})
    if (found := statements.get(statement)) is None:
        found = statements[statement] = DriverStatement(statement, dialect)
    return found


def _bind_processor(parameter: Any, dialect: DriverDialect) -> _Processor | None:
    return parameter.type.dialect_impl(dialect).bind_processor(dialect)  # type: ignore[no-any-return]  # untyped
