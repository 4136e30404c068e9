"""Walks the table of a compiled step: many steps in one call, without Python in between.

In: a table of kernel addresses with their rows of offsets, the arena, the examples of each
step. Out: the recorded numbers of every step. Each thread runs `walk` on the same table and
takes its part of every kernel; they meet at barriers. One walker is compiled for all nets,
because a call for each kernel in straight line would cost milliseconds of compilation apiece.
Nothing here imports the rest of chainrule.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numba
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from . import simd
from .simd.barrier import claim, meet
from .simd.blocks import least, share
from .simd.denormals import as_before, without_denormals
from .simd.lanes import F32, F64, I8, I32, I64

# program: address of the kernel, index of its row, wait before it, in how many parts it is done
# (0: whole, by thread 0), and the frame that its examples are counted in. More parts than threads
# are taken by whoever is free: a thread that the system has stopped for a while holds up the
# others by one part, not by its share.
# fields: address of the examples, where the input lies, bytes of one example, or, where the frame
# that comes next is not 0, of one step; and the steps that an example has there.
PROGRAM, FIELD = 5, 5
# Element types of scalars, in the arena and in the tables.
CODES = {"f32": 0, "f64": 1, "i32": 2, "bool": 3}
HEADER_STEP, HEADER_BATCH = 8, 24  # bytes
HEADER_FRAMES, HEADER_COUNTER = 4, 5  # words: addresses of the steps of frames, of a barrier
CLAIMS = 128  # bytes from the barrier's counter: behind that of the barrier inside recurrences


@intrinsic
def call(
    typingctx: Any, address: Any, arena: Any, row: Any, batch: Any, thread: Any, threads: Any
) -> Any:
    """Run the kernel at `address`; arena and row are addresses too."""

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        b = builder
        bytes_, words = I8.as_pointer(), I64.as_pointer()
        function = ir.FunctionType(ir.VoidType(), [bytes_, words, I64, I64, I64])
        target = b.inttoptr(args[0], function.as_pointer())
        b.call(target, [b.inttoptr(args[1], bytes_), b.inttoptr(args[2], words), *args[3:]])
        return context.get_dummy_value()

    return types.void(*[types.int64] * 6), lower


@intrinsic
def at(typingctx: Any, table: Any, index: Any) -> Any:
    """int64 number `index` of the table at an address."""

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        place = builder.inttoptr(args[0], I64.as_pointer())
        return builder.load(builder.gep(place, [args[1]], source_etype=I64), typ=I64)

    return types.int64(types.int64, types.int64), lower


@intrinsic
def write_i64(typingctx: Any, address: Any, value: Any) -> Any:
    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        builder.store(args[1], builder.inttoptr(args[0], I64.as_pointer()))
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), lower


@intrinsic
def read_f64(typingctx: Any, address: Any) -> Any:
    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.load(builder.inttoptr(args[0], F64.as_pointer()), typ=F64)

    return types.float64(types.int64), lower


@intrinsic
def write_f64(typingctx: Any, address: Any, value: Any) -> Any:
    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        builder.store(args[1], builder.inttoptr(args[0], F64.as_pointer()))
        return context.get_dummy_value()

    return types.void(types.int64, types.float64), lower


def _cases(b: ir.IRBuilder, code: Any) -> Iterator[ir.Type]:
    """A block for each element type, chosen by its code; the type is what lies in memory."""
    end = b.append_basic_block("done")
    switch = b.switch(code, end)
    for number, kind in enumerate((F32, F64, I32, I8)):
        block = b.append_basic_block("case")
        switch.add_case(ir.Constant(I64, number), block)
        b.position_at_end(block)
        yield kind
        b.branch(end)
    b.position_at_end(end)


@intrinsic
def number_at(typingctx: Any, address: Any, code: Any) -> Any:
    """The scalar of type `code` at an address, as f64."""

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        result = cgutils.alloca_once(builder, F64)
        for kind in _cases(builder, args[1]):
            raw = builder.load(builder.inttoptr(args[0], kind.as_pointer()), typ=kind)
            if kind != F64:
                raw = builder.fpext(raw, F64) if kind == F32 else builder.sitofp(raw, F64)
            builder.store(raw, result)
        return builder.load(result, typ=F64)

    return types.float64(types.int64, types.int64), lower


@intrinsic
def put_number(typingctx: Any, address: Any, code: Any, value: Any) -> Any:
    """Write an f64 as a scalar of type `code`."""

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        for kind in _cases(builder, args[1]):
            value = args[2]
            if kind == F32:
                value = builder.fptrunc(value, F32)
            elif kind != F64:
                value = builder.fptosi(value, kind)
            builder.store(value, builder.inttoptr(args[0], kind.as_pointer()))
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.float64), lower


@intrinsic
def copy(typingctx: Any, target: Any, source: Any, size: Any) -> Any:
    """`size` bytes from one address to another."""

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        place, start = (builder.inttoptr(a, I8.as_pointer()) for a in args[:2])
        cgutils.raw_memcpy(builder, place, start, args[2], 1)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), lower


# What `walk` is told, int64 each: see its text.
JOB = (
    "arena", "program", "kernels", "rows", "fields", "inputs", "picked", "total", "batch", "step",
    "scalars", "given", "numbers", "recorded", "results", "records", "counter", "goal", "threads",
    "row_bytes", "lengths", "frames", "late", "later",
)  # fmt: skip


def walk(job: int, thread: int) -> int:
    """Run steps of `batch` examples out of `total`; gives the number of steps done.

    `job` is the address of the numbers named in `JOB`. program [kernels, 5], fields [inputs, 5],
    lengths [step, frames] (1 for frame 0, which is none), scalars [given, 2] (offset, type) with
    numbers [step, given], recorded [results, 2] alike, with records [step, results], late [later,
    3] (row, offset, bytes that it begins later for each example of the batch): addresses of tables.
    `rows`: address of the table of offsets, `row_bytes` for each thread. `picked`: address of the
    positions of the examples in the fields. A step that records something not finite is the last.
    `counter`: address of the barrier, which stands at `goal` when all threads begin; 64 bytes on,
    that of the barrier inside recurrences, and then one counter for each kernel, at zero.
    """
    arena, program, kernels = at(job, 0), at(job, 1), at(job, 2)
    rows = at(job, 3) + thread * at(job, 19)
    fields, inputs, picked, total = at(job, 4), at(job, 5), at(job, 6), at(job, 7)
    batch, first_step, scalars, given = at(job, 8), at(job, 9), at(job, 10), at(job, 11)
    numbers, recorded, results, records = at(job, 12), at(job, 13), at(job, 14), at(job, 15)
    counter, goal, threads = at(job, 16), at(job, 17), at(job, 18)
    lengths, frames, late, later = at(job, 20), at(job, 21), at(job, 22), at(job, 23)
    before = 0
    steps = (total + batch - 1) // batch
    own = without_denormals()
    for s in range(steps):
        start = s * batch
        steps_of = lengths + 8 * frames * s
        count = least(batch, total - start)
        if count != before:
            for k in range(later):
                place = at(late, 3 * k + 1) + count * at(late, 3 * k + 2)
                write_i64(rows + 8 * at(late, 3 * k), place)
            before = count
        first, last = share(count, thread, threads, 1), share(count, thread + 1, threads, 1)
        for f in range(inputs):
            field = fields + 8 * FIELD * f
            source, base, size = at(field, 0), arena + at(field, 1), at(field, 2)
            if at(field, 3) == 0:
                for e in range(first, last):
                    copy(base + e * size, source + at(picked, start + e) * size, size)
            else:
                for e in range(first, last):
                    begin = source + at(picked, start + e) * at(field, 4) * size
                    for t in range(at(steps_of, at(field, 3))):
                        copy(base + (t * count + e) * size, begin + t * size, size)
        if thread == 0:
            write_i64(arena + HEADER_STEP, first_step + s)
            write_i64(arena + HEADER_BATCH, count)
            write_i64(arena + 8 * HEADER_FRAMES, steps_of)
            for q in range(given):
                value = read_f64(numbers + 8 * (s * given + q))
                put_number(arena + at(scalars, 2 * q), at(scalars, 2 * q + 1), value)
        if threads > 1:
            goal = meet(counter, goal, threads)
        for k in range(kernels):
            kernel = program + 8 * PROGRAM * k
            if threads > 1 and at(kernel, 2):
                goal = meet(counter, goal, threads)
            address, row, parts = at(kernel, 0), rows + 8 * at(kernel, 1), at(kernel, 3)
            examples = count * at(steps_of, at(kernel, 4))
            if parts == 0:
                if thread == 0:
                    call(address, arena, row, examples, 0, 1)
            elif parts <= threads:
                call(address, arena, row, examples, thread, threads)
            else:
                claims = counter + CLAIMS + 8 * k
                claimed = s * (parts + threads)  # in every step each thread claims once too often
                part = claim(claims) - claimed
                while part < parts:
                    call(address, arena, row, examples, part, parts)
                    part = claim(claims) - claimed
        if threads > 1:
            goal = meet(counter, goal, threads)
        bad = False
        for q in range(results):
            value = number_at(arena + at(recorded, 2 * q), at(recorded, 2 * q + 1))
            if thread == 0:
                write_f64(records + 8 * (s * results + q), value)
            if value - value != 0.0:  # infinite or not a number
                bad = True
        if bad:
            as_before(own)
            return s + 1
    as_before(own)
    return steps


SIGNATURE = types.int64(types.int64, types.int64)


def compiled() -> Any:
    """`walk` as a C function, in an exported package."""
    keep = simd.settings["disk_cache"]
    return numba.cfunc(SIGNATURE, cache=keep, error_model="numpy")(walk)
