"""The comment after a field of a class goes in; its text in the API reference comes out. Used by mkdocs.yml.

h_n: Tensor  # every layer at the last real step: (L * D, B, O)
"""

from __future__ import annotations

from typing import Any

from griffe import Attribute, Docstring, Extension


class FieldComments(Extension):
    """Turns the comment of a field, where the code gives shapes and units, into its docstring."""

    def on_attribute_instance(self, *, attr: Attribute, **_: Any) -> None:
        """Add the comment, if the line has one and the field no docstring."""
        if attr.docstring is None and attr.parent is not None and attr.parent.is_class and attr.lineno is not None:
            line = attr.lines_collection[attr.filepath][attr.lineno - 1].strip()  # pyright: ignore[reportArgumentType]
            field, separator, comment = line.partition("  # ")
            if separator and not field.startswith("self."):
                attr.docstring = Docstring(comment, parent=attr)
