"""The rules of a market as machine code of their own: the machine's code for one plan, without a machine.

The operations are those of `machine`, one block of code each, and the functions behind them are the kernel's own, as numba compiled
them; the plan and the constants are known by now, so that most of a leaf's reading is done while this is made. It takes seconds and
pays where millions of events follow.
"""

from __future__ import annotations

from array import array
from functools import cache
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final

import llvmlite.binding as llvm
from llvmlite import ir
from numba.core import types

from guard.features.kernel import machine
from guard.features.kernel import slots as s
from guard.features.kernel.compiled import FUNCTIONS, cache_folder
from guard.features.kernel.depths import NOT_BEGUN
from guard.features.kernel.images import SCREENS, read, write
from guard.features.kernel.jit import functions
from guard.features.kernel.readers import READERS

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Native", "compiled", "native", "prepare"]

_LONG: Final = ir.IntType(64)
_FLOAT: Final = ir.DoubleType()
_BIT: Final = ir.IntType(1)
_STATUS: Final = ir.IntType(32)
_POINTER: Final = ir.PointerType()
_FLOATS, _INTEGERS = types.CPointer(types.float64), types.CPointer(types.int64)  # type: ignore[attr-defined] # numba is untyped
_ROWS: Final = (types.CPointer(_FLOATS), types.CPointer(_INTEGERS), _FLOATS, _INTEGERS)  # type: ignore[attr-defined] # likewise
_READER: Final = (*_ROWS, _INTEGERS, _FLOATS, types.int64, types.int64)
_HELPERS: Final = {
    "number": (types.int64, types.float64, types.float64, types.float64),
    "passes": (types.int64, types.float64, types.float64),
    "read_depth_on": (*_READER, _FLOATS),
    "best": (_INTEGERS, _FLOATS, _FLOATS, types.float64, types.float64, types.int64, types.int64),
}
# What a screen takes: all rows, the market's rows, its signatures, the time of arrival.
_SHAPE: Final = ir.FunctionType(_LONG, [_POINTER] * 5 + [_LONG])
# Most of the code is for markets that a rule has a word on: calm ones shall run straight past it.
_LIKELY: Final = (1000, 1)


@cache
def _target() -> Any:  # noqa: ANN401 - llvmlite is untyped
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    target = llvm.Target.from_default_triple()
    return target.create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=llvm.get_host_cpu_features().flatten(), opt=3, jit=True
    )


def _parts() -> dict[str, tuple[Any, ...]]:
    """Return the kernel's functions that a screen calls, with the types of their arguments."""
    return {**{each.__name__: _READER for each in READERS}, **_HELPERS}


@cache
def _kernel() -> tuple[bytes, dict[str, str]]:
    """Return the kernel's functions as one module of LLVM, and the names that they have there; kept for other processes."""
    kept = cache_folder() / FUNCTIONS
    image = read(kept)
    if image is None:
        image = _made_kernel()
        write(kept, image)
    told, _, code = image.partition(b"\n\n")
    return code, dict(line.split() for line in told.decode().splitlines())


def _made_kernel() -> bytes:
    """Return names and code of the kernel's functions."""
    whole, found = None, {}
    for name, arguments in _parts().items():
        dispatcher = getattr(functions(), name)
        dispatcher.compile(arguments)
        result = dispatcher.overloads[arguments]
        found[name] = result.fndesc.llvm_func_name
        module = llvm.parse_assembly(result.library.get_llvm_str())
        if whole is None:
            whole = module
        else:
            whole.link_in(module)
    assert whole is not None
    for function in whole.functions:
        if not function.is_declaration:
            function.add_function_attribute("alwaysinline")
    names = "\n".join(" ".join(pair) for pair in found.items())
    code: bytes = whole.as_bitcode()
    return names.encode() + b"\n\n" + code


class Native:
    """Screens in machine code, for as long as this object lives.

    Parameters
    ----------
    image
        What `compiled` returned.
    begins
        Where the programs begin that have a screen.

    Attributes
    ----------
    addresses
        Where in memory the screen of each program is.
    made_for
        The plan that they read by.
    """

    def __init__(self, image: bytes, begins: Sequence[int], made_for: object = None) -> None:
        self.made_for = made_for
        self._engine = llvm.create_lljit_compiler(_target())
        library = llvm.JITLibraryBuilder().add_object_img(image).add_current_process()
        for begin in begins:
            library.export_symbol(_name(begin))
        self._library = library.link(self._engine, "screens")
        self.addresses = {begin: self._library[_name(begin)] for begin in begins}


def prepare() -> None:
    """Make what all machine code is made of, which takes a while the first time."""
    _kernel()


def native(
    code: Sequence[int],
    constants: Sequence[float],
    begins: Sequence[int],
    plan: Sequence[int],
    numbers: Sequence[float],
    *,
    made_for: object = None,
) -> Native:
    """Return the screens of some programs, from the cache or made anew; any thread may do it.

    Parameters
    ----------
    code, constants
        The machine's code and its constants.
    begins
        Where the programs begin for which a screen is made.
    plan, numbers
        What the leaves are read by.
    """
    key = blake2b(repr((list(begins), list(code), list(plan))).encode(), digest_size=16)
    key.update(array("d", [*constants, *numbers]).tobytes())
    kept = cache_folder() / SCREENS / key.hexdigest()
    image = read(kept)
    if image is None:
        image = compiled(code, constants, begins, plan, numbers)
        write(kept, image)
    return Native(image, begins, made_for)


def compiled(
    code: Sequence[int], constants: Sequence[float], begins: Sequence[int], plan: Sequence[int], numbers: Sequence[float]
) -> bytes:
    """Return the screens as an object file; the arguments are those of `native`."""
    kernel, names = _kernel()
    module = llvm.parse_assembly(_Writer(code, constants, plan, numbers, names).module(begins))
    module.link_in(llvm.parse_bitcode(kernel))
    screens = {_name(begin) for begin in begins}
    for function in module.functions:
        if not function.is_declaration and function.name not in screens:
            function.linkage = "internal"
    target = _target()
    options = llvm.create_pipeline_tuning_options(speed_level=2)
    options.loop_vectorization = options.slp_vectorization = False
    passes = llvm.create_pass_builder(target, options)
    passes.getModulePassManager().run(module, passes)
    image: bytes = target.emit_object(module)
    return image


def _name(begin: int) -> str:
    return f"screen_{begin}"


class _Writer:
    """Writes the module."""

    def __init__(
        self,
        code: Sequence[int],
        constants: Sequence[float],
        plan: Sequence[int],
        numbers: Sequence[float],
        names: dict[str, str],
    ) -> None:
        self._code = [int(each) for each in code]
        self._numbers = constants
        self._plan = plan
        self._module = ir.Module("screens")
        self._module.triple = llvm.get_process_triple()
        self._module.data_layout = str(_target().target_data)
        self._names = names
        self._declared: dict[str, Any] = {}
        self._leaves: dict[int, Any] = {}
        self._p = self._table("plan", _LONG, plan)
        self._q = self._table("numbers", _FLOAT, numbers or [0.0])
        self.constants = self._table("constants", _FLOAT, constants or [0.0])

    def _table(self, name: str, kind: Any, values: Sequence[float]) -> Any:  # noqa: ANN401 - llvmlite is untyped
        shape = ir.ArrayType(kind, len(values))
        table = ir.GlobalVariable(self._module, shape, name)
        table.initializer = ir.Constant(shape, [ir.Constant(kind, value) for value in values])
        table.linkage = "internal"
        table.global_constant = True
        return table

    def module(self, begins: Sequence[int]) -> str:
        """Return the text with a screen for each program."""
        for begin in begins:
            self._screen(begin)
        return str(self._module)

    def call(self, builder: Any, name: str, kind: Any, *arguments: Any) -> Any:  # noqa: ANN401 - llvmlite is untyped
        """Write a call of one of the kernel's functions, which puts its result where its first argument says."""
        if name not in self._declared:
            shape = ir.FunctionType(_STATUS, [_POINTER, _POINTER, *(each.type for each in arguments)])
            self._declared[name] = ir.Function(self._module, shape, self._names[name])
        with builder.goto_entry_block():
            result, error = builder.alloca(kind), builder.alloca(_LONG)
        builder.call(self._declared[name], [result, error, *arguments])
        return builder.load(result, typ=kind)

    def leaf(self, number: int) -> Any:  # noqa: ANN401 - llvmlite is untyped
        """Return the function that reads a leaf of a market."""
        if number not in self._leaves:
            at = self._plan[s.P_LEAVES] + number * s.LEAF_STRIDE
            function = ir.Function(self._module, ir.FunctionType(_FLOAT, [_POINTER] * 4 + [_LONG, _POINTER]), f"leaf_{number}")
            function.linkage = "internal"
            self._leaves[number] = function
            X, I, x, i, received, walks = function.args
            builder = ir.IRBuilder(function.append_basic_block())
            stream = self._plan[at + s.L_STREAM]
            if stream:
                place = builder.gep(i, [ir.Constant(_LONG, s.STREAMS)], source_etype=_LONG)
                streams = builder.load(place, typ=_LONG)
                is_absent = builder.icmp_signed("==", builder.and_(streams, ir.Constant(_LONG, stream)), ir.Constant(_LONG, 0))
                with builder.if_then(is_absent, likely=False):
                    builder.ret(ir.Constant(_FLOAT, float("nan")))
            reader = READERS[self._plan[at]].__name__
            arguments = [X, I, x, i, self._p, self._q, ir.Constant(_LONG, at), received]
            if reader == "read_depth":
                reader, arguments = "read_depth_on", [*arguments, walks]
            builder.ret(self.call(builder, reader, _FLOAT, *arguments))
        return self._leaves[number]

    def _screen(self, begin: int) -> None:
        function = ir.Function(self._module, _SHAPE, _name(begin))
        _Screen(self, function, self._code, self._numbers).write(begin)


class _Screen:
    """Writes one screen: a block for each operation, a local for each register and one for whether it is kept."""

    def __init__(self, whole: _Writer, function: Any, code: Sequence[int], constants: Sequence[float]) -> None:  # noqa: ANN401 - llvmlite is untyped
        self._whole = whole
        self._function = function
        self._code = [int(each) for each in code]
        self._constants = constants
        self._blocks: dict[int, Any] = {}
        self._registers: dict[int, Any] = {}
        self._marks: dict[int, Any] = {}
        self._entry = function.append_basic_block("entry")
        entry, shape = ir.IRBuilder(self._entry), ir.ArrayType(_FLOAT, len(NOT_BEGUN))
        self._walks = entry.alloca(shape)
        entry.store(ir.Constant(shape, [ir.Constant(_FLOAT, each) for each in NOT_BEGUN]), self._walks)

    def write(self, begin: int) -> None:
        """Write all blocks from `begin` up to the end of the program."""
        at = begin
        while True:
            operation = self._code[at]
            self._operation(at, operation)
            if operation == machine.SAME:
                break
            at += self._length(at)
        ir.IRBuilder(self._entry).branch(self._block(begin))

    def _length(self, at: int) -> int:
        return machine.STRIDE + (2 * self._code[at + 4] if self._code[at] == machine.BEST else 0)

    def _block(self, at: int) -> Any:  # noqa: ANN401 - llvmlite is untyped
        if at not in self._blocks:
            self._blocks[at] = self._function.append_basic_block(f"at_{at}")
        return self._blocks[at]

    def _local(self, locals_: dict[int, Any], number: int, kind: Any) -> Any:  # noqa: ANN401 - llvmlite is untyped
        if number not in locals_:
            entry = ir.IRBuilder(self._entry)
            locals_[number] = entry.alloca(kind)
            entry.store(ir.Constant(kind, 0), locals_[number])
        return locals_[number]

    def _number(self, builder: Any, operand: int) -> Any:  # noqa: ANN401 - llvmlite is untyped
        """Return what an operand stands for."""
        if operand < 0:
            return ir.Constant(_FLOAT, self._constants[-1 - operand])
        return builder.load(self._local(self._registers, operand, _FLOAT), typ=_FLOAT)

    def _signature(self, builder: Any, place: int) -> Any:  # noqa: ANN401 - llvmlite is untyped
        signatures = self._function.args[4]
        return builder.load(builder.gep(signatures, [ir.Constant(_LONG, place)], source_etype=_LONG), typ=_LONG)

    def _operation(self, at: int, operation: int) -> None:
        _, a, b, c, d = self._code[at : at + machine.STRIDE]
        builder = ir.IRBuilder(self._block(at))
        after = at + self._length(at)
        X, I, x, i, _, received = self._function.args
        if operation in (machine.SAME, machine.ASK):
            builder.ret(ir.Constant(_LONG, int(operation == machine.ASK)))
        elif operation == machine.JUMP:
            builder.branch(self._block(a))
        elif operation == machine.LOOK:
            part = builder.and_(builder.ashr(self._signature(builder, a), ir.Constant(_LONG, b)), ir.Constant(_LONG, c))
            is_same = builder.icmp_signed("==", part, ir.Constant(_LONG, d))
            is_level = b == 0 and d & machine.REACHED == 0
            branch = builder.cbranch(is_same, self._block(after), self._turned(a, d, after) if is_level else self._differs())
            branch.set_weights(_LIKELY)
        elif operation == machine.UNASKED:
            part = builder.and_(builder.ashr(self._signature(builder, a), ir.Constant(_LONG, c)), ir.Constant(_LONG, d))
            is_unasked = builder.icmp_signed("==", part, ir.Constant(_LONG, 0))
            builder.cbranch(is_unasked, self._block(b), self._block(after)).set_weights(_LIKELY)
        elif operation == machine.KEPT:
            mark, first = self._local(self._marks, a, _BIT), builder.append_basic_block()
            builder.cbranch(builder.load(mark, typ=_BIT), self._block(b), first)
            builder.position_at_end(first)
            builder.store(ir.Constant(_BIT, 1), mark)
            builder.branch(self._block(after))
        elif operation == machine.LEAF:
            value = builder.call(self._whole.leaf(b), [X, I, x, i, received, self._walks])
            builder.store(value, self._local(self._registers, a, _FLOAT))
            builder.branch(self._block(after))
        elif operation == machine.BEST:
            builder.store(self._best(builder, at), self._local(self._registers, a, _FLOAT))
            builder.branch(self._block(after))
        elif operation >= machine.MOVE:
            operands = (self._number(builder, operand) for operand in (b, c, d))
            value = self._whole.call(builder, "number", _FLOAT, ir.Constant(_LONG, operation), *operands)
            builder.store(value, self._local(self._registers, a, _FLOAT))
            builder.branch(self._block(after))
        else:
            is_if = operation >= machine.IF_LESS
            test = ir.Constant(_LONG, operation - (machine.IF_LESS if is_if else machine.UNLESS_LESS))
            passes = self._whole.call(builder, "passes", _LONG, test, self._number(builder, a), self._number(builder, b))
            passed, failed = (self._block(c), self._block(after)) if is_if else (self._block(after), self._block(c))
            builder.cbranch(builder.icmp_signed("!=", passes, ir.Constant(_LONG, 0)), passed, failed)

    def _turned(self, place: int, level: int, after: int) -> Any:  # noqa: ANN401 - llvmlite is untyped
        """Return the block that does what `machine.turned` does; signatures that are not free differ."""
        block, notes = self._function.append_basic_block(), self._function.append_basic_block()
        builder = ir.IRBuilder(block)
        told, free = self._signature(builder, place), ir.Constant(_LONG, machine.FREE)
        part = builder.and_(told, ir.Constant(_LONG, machine.FREE | machine.REACHED))
        builder.cbranch(builder.icmp_signed("==", part, free), notes, self._differs())
        builder.position_at_end(notes)
        found = builder.or_(builder.and_(told, ir.Constant(_LONG, machine.KEPT_PARTS)), ir.Constant(_LONG, machine.TURNED | level))
        if level == machine.UNKNOWN_LEVEL:
            found = builder.or_(found, builder.shl(self._function.args[5], ir.Constant(_LONG, machine.SINCE_SHIFT)))
        builder.store(found, builder.gep(self._function.args[4], [ir.Constant(_LONG, place)], source_etype=_LONG))
        builder.branch(self._block(after))
        return block

    def _differs(self) -> Any:  # noqa: ANN401 - llvmlite is untyped
        if -1 not in self._blocks:
            ir.IRBuilder(self._block(-1)).ret(ir.Constant(_LONG, 1))
        return self._blocks[-1]

    def _best(self, builder: Any, at: int) -> Any:  # noqa: ANN401 - llvmlite is untyped
        """Write a call of `best`, whose parts are laid out anew: constants as weights, a row of values."""
        _, _, total, weight, count = self._code[at : at + machine.STRIDE]
        pairs = [self._code[at + machine.STRIDE + place] for place in range(2 * count)]
        with builder.goto_entry_block():
            values = builder.alloca(ir.ArrayType(_FLOAT, count))
            places = builder.alloca(ir.ArrayType(_LONG, 2 * count))
        for part in range(count):
            for table, place, value in (
                (values, part, self._number(builder, pairs[2 * part + 1])),
                (places, 2 * part, ir.Constant(_LONG, pairs[2 * part])),
                (places, 2 * part + 1, ir.Constant(_LONG, part)),
            ):
                builder.store(value, builder.gep(table, [ir.Constant(_LONG, 0), ir.Constant(_LONG, place)]))
        arguments = (places, self._whole.constants, values, self._number(builder, total), self._number(builder, weight))
        return self._whole.call(builder, "best", _FLOAT, *arguments, ir.Constant(_LONG, 0), ir.Constant(_LONG, count))
