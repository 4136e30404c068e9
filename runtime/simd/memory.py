"""Reading and writing vectors in the arena.

`at_f32(arena, row, 2)` is the address of slot 2; `load(p, i, 16)` reads 16 neighbours from
element i, `load_part(p, i, 16, n)` the first n of them (the others are 0), `spread` one element
into every lane, `gather(p, i, s, 16)` elements i, i + s, …; `store`, `store_part`, `scatter`
and `scatter_part` write. bool elements are bytes in memory and masks in registers.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from .lanes import BYTES, I1, I8, I32, I64, X, declare, first_lanes, splat
from .lanes import vector as llvm_vector
from .vector import Vec, as_vector

STORED = {"f32": types.float32, "f64": types.float64, "i32": types.int32, "bool": types.uint8}
POINTER = {dtype: types.CPointer(kind) for dtype, kind in STORED.items()}
NAME = {pointer: dtype for dtype, pointer in POINTER.items()}


def _at(dtype: str) -> Any:
    def typing(typingctx: Any, arena: Any, row: Any, slot: Any) -> Any:
        def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            place = builder.gep(args[1], [context.cast(builder, args[2], sig.args[2], types.int64)],
                                source_etype=I64)  # fmt: skip
            offset = builder.load(place, typ=I64)
            address = builder.gep(args[0], [offset], source_etype=I8)
            return builder.bitcast(address, context.get_value_type(sig.return_type))

        return POINTER[dtype](arena, row, slot), lower

    return intrinsic(typing)


at_f32, at_f64, at_i32, at_bool = (_at(d) for d in ("f32", "f64", "i32", "bool"))


def local(dtype: str) -> Any:
    """`local_f32(n)`: n elements on the stack (n literal)."""

    def typing(typingctx: Any, size: Any) -> Any:
        if not isinstance(size, types.IntegerLiteral):
            return None

        def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            element = context.get_data_type(STORED[dtype])
            kind = ir.ArrayType(element, size.literal_value)
            place = cgutils.alloca_once(builder, kind)
            place.align = 64
            return builder.bitcast(place, context.get_value_type(sig.return_type))

        return POINTER[dtype](size), lower

    return intrinsic(prefer_literal=True)(typing)


local_f32, local_f64 = local("f32"), local("f64")


@intrinsic
def header(typingctx: Any, arena: Any, index: Any) -> Any:
    """int64 number `index` of the arena's header: seed, step, first example."""

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        words = builder.bitcast(args[0], I64.as_pointer())
        return builder.load(builder.gep(words, [args[1]]), typ=I64)

    return types.int64(arena, types.int64), lower


@intrinsic
def id_at(typingctx: Any, pointer: Any, index: Any, count: Any) -> Any:
    """The whole number there, as the number of one of `count` rows: the nearest that there is."""

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        place, stored = element(context, builder, sig, args)
        found = builder.sext(builder.load(place, typ=stored), I64)
        zero, last = ir.Constant(I64, 0), builder.sub(args[2], ir.Constant(I64, 1))
        found = builder.select(builder.icmp_signed("<", found, zero), zero, found)
        return builder.select(builder.icmp_signed(">", found, last), last, found)

    if NAME.get(pointer) != "i32":
        return None
    return types.int64(pointer, types.int64, types.int64), lower


def element(
    context: Any, builder: Any, sig: Any, args: Any, number: int = 1
) -> tuple[Any, ir.Type]:
    """The address of element args[number] of pointer args[0], and the LLVM type stored there."""
    stored = llvm_vector(NAME[sig.args[0]], 1).element
    stored = I8 if stored == I1 else stored
    index = context.cast(builder, args[number], sig.args[number], types.int64)
    return builder.gep(args[0], [index], source_etype=stored), stored


def _from_memory(builder: Any, raw: Any) -> X:
    x = X(builder, raw)
    return x.compare("!=", 0) if x.type.element == I8 else x


def _to_memory(x: X) -> X:
    if x.type.element != I1:
        return x
    return X(x.b, x.b.zext(x.v, ir.VectorType(I8, x.lanes)))


def _suffix(kind: ir.VectorType) -> str:
    element = kind.element
    name = {ir.FloatType: "f32", ir.DoubleType: "f64"}.get(type(element)) or f"i{element.width}"
    return f"v{kind.count}{name}"


def vector_type(pointer: Any, lanes: Any) -> Vec | None:
    if pointer not in NAME or not isinstance(lanes, types.IntegerLiteral):
        return None
    return Vec(NAME[pointer], lanes.literal_value)


@intrinsic(prefer_literal=True)
def load(typingctx: Any, pointer: Any, index: Any, lanes: Any) -> Any:
    kind = vector_type(pointer, lanes)
    if kind is None:
        return None

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        place, stored = element(context, builder, sig, args)
        target = ir.VectorType(stored, kind.lanes)
        raw = builder.load(builder.bitcast(place, target.as_pointer()), typ=target)
        raw.align = BYTES[kind.dtype]
        return _from_memory(builder, raw).v

    return kind(pointer, types.int64, lanes), lower


@intrinsic(prefer_literal=True)
def load_part(typingctx: Any, pointer: Any, index: Any, lanes: Any, count: Any) -> Any:
    kind = vector_type(pointer, lanes)
    if kind is None:
        return None

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        place, stored = element(context, builder, sig, args)
        kept = first_lanes(builder, kind.lanes, args[3])
        target = ir.VectorType(stored, kind.lanes)
        place = builder.bitcast(place, target.as_pointer())
        name = f"llvm.masked.load.{_suffix(target)}.p0"
        blank = ir.Constant(target, [0] * kind.lanes)
        if masked_takes_alignment():
            function = declare(builder, name, target, [place.type, I32, kept.type, target])
            raw = builder.call(
                function, [place, ir.Constant(I32, BYTES[kind.dtype]), kept.v, blank]
            )
        else:
            function = declare(builder, name, target, [place.type, kept.type, target])
            raw = builder.call(function, [place, kept.v, blank])
        return _from_memory(builder, raw).v

    return kind(pointer, types.int64, lanes, types.int64), lower


def masked_takes_alignment() -> bool:
    """LLVM 22 moved the alignment of masked accesses from an argument to an attribute."""
    from llvmlite.binding import llvm_version_info

    return bool(llvm_version_info[0] < 22)


@intrinsic(prefer_literal=True)
def spread(typingctx: Any, pointer: Any, index: Any, lanes: Any) -> Any:
    kind = vector_type(pointer, lanes)
    if kind is None:
        return None

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        place, stored = element(context, builder, sig, args)
        return _from_memory(
            builder, splat(builder, builder.load(place, typ=stored), kind.lanes).v
        ).v

    return kind(pointer, types.int64, lanes), lower


@intrinsic(prefer_literal=True)
def gather(typingctx: Any, pointer: Any, index: Any, stride: Any, lanes: Any, count: Any) -> Any:
    """Elements index + stride·lane of the first `count` lanes; the others repeat the last one."""
    kind = vector_type(pointer, lanes)
    if kind is None:
        return None

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        place, stored = element(context, builder, sig, args)
        raw = ir.Constant(ir.VectorType(stored, kind.lanes), ir.Undefined)
        last = builder.sub(args[4], ir.Constant(I64, 1))
        for lane in range(kind.lanes):
            number = ir.Constant(I64, lane)
            near = builder.select(builder.icmp_signed("<", number, last), number, last)
            step = builder.mul(near, args[2])
            value = builder.load(builder.gep(place, [step], source_etype=stored), typ=stored)
            raw = builder.insert_element(raw, value, ir.Constant(I32, lane))
        return _from_memory(builder, raw).v

    return kind(pointer, types.int64, types.int64, lanes, types.int64), lower


def _written(sig: Any, position: int) -> Vec | None:
    value, pointer = sig[position], sig[0]
    if pointer not in NAME or not isinstance(value, Vec):
        return None
    return value.of(NAME[pointer])


@intrinsic
def store(typingctx: Any, pointer: Any, index: Any, value: Any) -> Any:
    kind = _written((pointer, index, value), 2)
    if kind is None:
        return None

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        place, _ = element(context, builder, sig, args)
        data = _to_memory(as_vector(builder, value, args[2], kind))
        place = builder.bitcast(place, data.type.as_pointer())
        builder.store(data.v, place).align = BYTES[kind.dtype]
        return context.get_dummy_value()

    return types.void(pointer, types.int64, value), lower


@intrinsic
def store_part(typingctx: Any, pointer: Any, index: Any, value: Any, count: Any) -> Any:
    kind = _written((pointer, index, value), 2)
    if kind is None:
        return None

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        place, _ = element(context, builder, sig, args)
        data = _to_memory(as_vector(builder, value, args[2], kind))
        kept = first_lanes(builder, kind.lanes, args[3])
        place = builder.bitcast(place, data.type.as_pointer())
        name = f"llvm.masked.store.{_suffix(data.type)}.p0"
        if masked_takes_alignment():
            types_ = [data.type, place.type, I32, kept.type]
            given = [data.v, place, ir.Constant(I32, BYTES[kind.dtype]), kept.v]
        else:
            types_, given = [data.type, place.type, kept.type], [data.v, place, kept.v]
        builder.call(declare(builder, name, ir.VoidType(), types_), given)
        return context.get_dummy_value()

    return types.void(pointer, types.int64, value, types.int64), lower


@intrinsic
def scatter(typingctx: Any, pointer: Any, index: Any, stride: Any, value: Any, count: Any) -> Any:
    """The first `count` lanes to elements index + stride·lane, in ascending order."""
    kind = _written((pointer, index, stride, value), 3)
    if kind is None:
        return None

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        place, stored = element(context, builder, sig, args)
        data = _to_memory(as_vector(builder, value, args[3], kind))
        for lane in range(kind.lanes):
            number = ir.Constant(I64, lane)
            with builder.if_then(builder.icmp_signed("<", number, args[4])):
                step = builder.mul(number, args[2])
                builder.store(data.lane(lane), builder.gep(place, [step], source_etype=stored))
        return context.get_dummy_value()

    return types.void(pointer, types.int64, types.int64, value, types.int64), lower
