"""Whether a record batch can be read: its offsets come from the file and may lead anywhere."""

import pyarrow as pa

_NOT_UTF8 = "Invalid UTF8"
_BYTES = {
    pa.string(): pa.binary(),
    pa.large_string(): pa.large_binary(),
    pa.string_view(): pa.binary_view(),
}


def checked(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Return a batch none of whose values leads outside of its own memory.

    Text that is not UTF-8 costs its row alone, later.

    Raises:
        ArrowInvalid: one does; a process that looked at it would crash.
    """
    for column in batch.columns:
        try:
            column.validate(full=True)
        except pa.ArrowInvalid as error:
            kind = _with_bytes(column.type)
            if _NOT_UTF8 not in str(error) or kind == column.type:
                raise
            column.view(kind).validate(full=True)  # Arrow ends at its first finding: this was one
    return batch


def _with_bytes(kind: pa.DataType) -> pa.DataType:
    """Return the type of the same layout that takes text as bytes, as far as there is one."""
    if kind in _BYTES:
        return _BYTES[kind]
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(_with_bytes(field.type)) for field in kind])
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        item = kind.value_field.with_type(_with_bytes(kind.value_type))
        return pa.list_(item) if pa.types.is_list(kind) else pa.large_list(item)
    if pa.types.is_map(kind):
        return pa.map_(_with_bytes(kind.key_type), _with_bytes(kind.item_type))
    if pa.types.is_dictionary(kind):
        return pa.dictionary(kind.index_type, _with_bytes(kind.value_type), kind.ordered)
    return kind
