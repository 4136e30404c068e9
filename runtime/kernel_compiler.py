"""Numba for kernels alone: the words of `simd`, whole numbers and loops, in a third of the time.

In: a function written in these words, and its signature. Out: object code that stands by itself,
with the name of the function in it. It is Numba's own compiler with a target, a list of passes
and a way through LLVM for what kernels are: no objects, no exceptions, no arrays, no calls to
other functions, a variable of one type. Numba's usual target takes as long to get ready (its
arrays, strings, dictionaries and random numbers are imported at the first compilation) as
several kernels take here.
"""

# Numba is typed in part, and says other things of itself than it does.
# mypy: disable-error-code="attr-defined, arg-type, misc, name-defined, no-untyped-call"
# mypy: disable-error-code="untyped-decorator"

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba.core import codegen, compiler, cpu, typing, utils
from numba.core.ccallback import CFunc
from numba.core.compiler_lock import global_compiler_lock
from numba.core.compiler_machinery import PassManager
from numba.core.decorators import jit
from numba.core.registry import CPUTarget
from numba.core.target_extension import (
    CPU,
    dispatcher_registry,
    jit_registry,
    target_override,
    target_registry,
)
from numba.core.typed_passes import NativeLowering, NoPythonBackend, NopythonTypeInference
from numba.core.untyped_passes import FixupArgs, IRProcessing, TranslateByteCode

from .machine_code import Code

NAME = "chainrule"  # of the target
WRAPPER = "cfunc."  # how Numba begins the name of a C function
# What is left out are the passes for closures, `with`, `raise`, arrays and rewritten expressions,
# and static single assignment: LLVM makes its own.
PASSES = (
    TranslateByteCode, FixupArgs, IRProcessing, NopythonTypeInference, NativeLowering,
    NoPythonBackend,
)  # fmt: skip


class _Library(codegen.JITCodeLibrary):
    """A module that goes through LLVM's passes once. Numba runs those of functions first and the
    cheap ones of modules twice, to find pairs of reference counts; kernels have none."""

    def _optimize_functions(self, ll_module: Any) -> None:
        ll_module.data_layout = self._codegen._data_layout

    def _optimize_final_module(self) -> None:
        for function in self._final_module.functions:
            if not (function.is_declaration or function.name.startswith(WRAPPER)):
                function.linkage = "internal"  # only the wrapper is called: no second copy
                function.add_function_attribute("alwaysinline")
        passes, builder = self._codegen._module_pass_manager()
        inline = llvm.create_new_module_pass_manager()
        inline.add_always_inliner_pass()
        inline.add_global_dead_code_eliminate_pass()
        inline.run(self._final_module, builder)
        passes.run(self._final_module, builder)

    def _finalize_final_module(self) -> None:
        self._finalized = True  # whoever runs the code links it

    def object_code(self) -> bytes:
        self._ensure_finalized()
        return bytes(self._codegen._tm.emit_object(self._final_module))


class _Codegen(codegen.JITCPUCodegen):
    _library_class = _Library


class _Words(typing.Context):
    """Types of calls: equal ones are resolved once."""

    def init(self) -> None:
        self._known: dict[Any, Any] = {}

    def load_additional_registries(self) -> None:
        """None: the builtin functions are enough."""

    def resolve_function_type(self, func: Any, args: Any, kws: Any) -> Any:
        keys = getattr(func, "_impl_keys", None)
        if keys is None or kws:
            return super().resolve_function_type(func, args, kws)
        known = self._known.get((func, tuple(args)))
        if known is None:
            found = super().resolve_function_type(func, args, kws)
            if found is not None:
                self._known[func, tuple(args)] = (found, keys[found.args])
            return found
        # The type of a function is shared with Numba's usual target, which may have used it since.
        keys[known[0].args] = known[1]
        return known[0]


class _Context(cpu.CPUContext):
    """How kernels are lowered."""

    @global_compiler_lock
    def init(self) -> None:
        self.is32bit = utils.MACHINE_BITS == 32
        self._internal_codegen = _Codegen("chainrule.kernels")

    def load_additional_registries(self) -> None:
        """Numbers, ranges and pairs; they register themselves when imported."""
        from numba.cpython import builtins, iterators, numbers, rangeobj, tupleobj

        assert all((builtins, iterators, numbers, rangeobj, tupleobj))

    def post_lowering(self, mod: Any, library: Any) -> None:
        """Nothing: Numba links its runtime for objects here."""

    def create_cfunc_wrapper(self, library: Any, fndesc: Any, env: Any, call_helper: Any) -> None:
        """The C function, without a way to report exceptions: a kernel raises none."""
        module = self.create_module("cfunc_wrapper")
        kind = self.call_conv.get_function_type(fndesc.restype, fndesc.argtypes)
        inner = ir.Function(module, kind, fndesc.llvm_func_name)
        arguments = [self.get_value_type(t) for t in fndesc.argtypes]
        outer = ir.FunctionType(self.get_value_type(fndesc.restype), arguments)
        wrapper = ir.Function(module, outer, fndesc.llvm_cfunc_wrapper_name)
        builder = ir.IRBuilder(wrapper.append_basic_block("entry"))
        _, result = self.call_conv.call_function(
            builder, inner, fndesc.restype, fndesc.argtypes, wrapper.args
        )
        builder.ret(result)
        library.add_ir_module(module)


class _Descriptor(CPUTarget):
    @cached_property
    def _toplevel_target_context(self) -> _Context:
        return _Context(self.typing_context, NAME)

    @cached_property
    def _toplevel_typing_context(self) -> _Words:
        return _Words()


class _Kernels(CPU):
    """The target, which knows what is there for the processor."""


class _Dispatcher:
    """Where Numba looks for the contexts of a target."""

    targetdescr = _Descriptor(NAME)


target_registry[NAME] = _Kernels
dispatcher_registry[_Kernels] = _Dispatcher
jit_registry[_Kernels] = jit  # asked for before an operator of Numba's own is found not to fit


class _Pipeline(compiler.CompilerBase):
    def define_pipelines(self) -> list[PassManager]:
        passes = PassManager(NAME)
        for one in PASSES:
            passes.add_pass(one, one.__name__)
        passes.finalize()
        return [passes]


class _Function(CFunc):
    """A C function that is compiled to object code."""

    _targetdescr = _Dispatcher.targetdescr

    @global_compiler_lock
    def compile(self) -> None:
        with target_override(NAME):  # else templates get the usual target ready
            result = self._compile_uncached()
        self.code = Code(result.fndesc.llvm_cfunc_wrapper_name, result.library.object_code())


def compile_c(function: Callable[..., Any], signature: Any) -> Code:
    """The C function that does what `function` does."""
    made = _Function(
        function, (signature.args, signature.return_type), locals={},
        options={"error_model": "numpy"}, pipeline_class=_Pipeline,
    )  # fmt: skip
    made.compile()
    code: Code = made.code
    return code
