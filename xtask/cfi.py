"""Checks the unwind information of an arch file at every instruction that runs. Runs inside gdb,
with examples/cfi_probe.rs as the program; `cargo xtask cfi` starts it.

So that a value that is right by chance is told from one that was looked up, the script gives the
preserved registers values of its own at each entry (and the caller's back when control returns
there), and before each instruction overwrites what lies below the stack pointer, where nothing may
be looked up, and below the start of a target that is lower than that, as the handler of a signal may do
as long as the stack pointer is not the target's.

The truth comes from the calling convention and from nothing else: at the first instruction of an
entry the return address, the caller's stack pointer and the registers that a callee preserves are
where the ABI says. From then on gdb's unwinder, which reads the CFI, is asked at each instruction:

  until the stack pointer is switched     frame 1 is the caller, with its registers
  from there until `restore` has returned there is no frame 1: the backtrace ends, without an error
  after that                              frame 1 is the caller of the one that goes on, as it was
                                          when that one came in

An entry may jump to another with an address of its own to continue at: then there are two frames
to compare, and so on. The callbacks are not stepped through; at their first instruction the whole
chain is compared through them.

Return addresses that are signed (AArch64): the unwinder's answers are compared without the signature,
since this gdb and qemu do not tell each other which bits it has. Instead what the CFI says of it
(DW_CFA_AARCH64_negate_ra_state) is compared at each instruction with whether the signing
instruction was the last of the two that ran.

But for that one bit it must never look at the CFI itself, nor take a register's place from the assembly.
"""

import os
import re
import subprocess

import gdb

FUNCTIONS = ["greenlet_switch", "greenlet_jump", "greenlet_swap"]

# For each architecture as gdb names it: the registers, and where things are at a call.
#   preserved   what a callee of the ABI preserves
#   kept        the same for the entries that are jumped to, where it is less
#   pops        how much a return adds to the stack pointer
#   link        the register with the return address, or None: on the stack
#   target      at greenlet_swap, where the target's stack start is
#   record      where in a frame record the return address is, if the switch makes one
#   chain       whether the word at the stack pointer is a back chain, which ends with 0
#   halves      the first letter of registers that are the low halves of vectors, and the vectors'
#   guessed     the instruction at which gdb does not look at the CFI
#   signs       the instructions after which a return address is signed, and no longer is
#   delay       the size of the instruction behind a jump, which runs in the same step
COMMON = dict(
    pc="pc", pops=0, target=None, record=None, chain=False, halves="-", guessed=None, signs=None, kept=None,
    delay=0,
)
ARCHITECTURES = {
    "i386:x86-64": COMMON | dict(
        pc="rip", sp="rsp", fp="rbp", result="rax", pops=8, link=None, target="rsi", guessed=b"\xc3",
        preserved=["rbx", "rbp", "r12", "r13", "r14", "r15"], kept=["rbx", "rbp"],
    ),
    "i386": COMMON | dict(
        pc="eip", sp="esp", fp="ebp", result="eax", pops=4, link=None, guessed=b"\xc3", record=4,
        preserved=["ebx", "esi", "edi", "ebp"],
    ),
    "aarch64": COMMON | dict(
        sp="sp", fp="x29", result="x0", link="x30", signs=("paciasp", "autiasp"), halves="dzv", record=8,
        preserved=["x%d" % n for n in range(19, 31)] + ["d%d" % n for n in range(8, 16)],
    ),
    "armv7": COMMON | dict(
        sp="sp", fp="r11", result="r0", link="lr",
        preserved=["r%d" % n for n in range(4, 12)] + ["d%d" % n for n in range(8, 16)],
    ),
    "riscv:rv64": COMMON | dict(
        sp="sp", fp="fp", result="a0", link="ra",
        preserved=["fp"] + ["s%d" % n for n in range(1, 12)] + ["fs%d" % n for n in range(12)],
    ),
    "powerpc:common": COMMON | dict(
        sp="r1", fp=None, result="r3", link="lr", chain=True,
        # CR as for 64 bits.
        preserved=["r%d" % n for n in range(14, 32)] + ["f%d" % n for n in range(14, 32)],
    ),
    "powerpc:common64": COMMON | dict(
        sp="r1", fp=None, result="r3", link="lr", chain=True,
        # This gdb does not find CR by the CFI, and cannot be given the vectors' values: those are not looked at.
        preserved=["r%d" % n for n in range(14, 32)] + ["f%d" % n for n in range(14, 32)],
    ),
    # o32 and n64: gdb's name is that of the processor.
    "mips, 4 bytes": COMMON | dict(
        sp="sp", fp="s8", result="v0", link="ra", delay=4,
        # Where registers have 64 bits the odd ones are not preserved.
        preserved=["s%d" % n for n in range(9)] + ["f%d" % n for n in range(20, 32, 2)],
    ),
    "mips, 8 bytes": COMMON | dict(
        sp="sp", fp="s8", result="v0", link="ra", delay=4,
        preserved=["s%d" % n for n in range(9)] + ["gp"] + ["f%d" % n for n in range(24, 32)],
    ),
    "s390:64-bit": COMMON | dict(
        sp="r15", fp="r11", result="r2", link="r14", chain=True,
        # Where there are vectors gdb does not find a float of a caller by the CFI: f8 to f15 are not looked at.
        preserved=["r%d" % n for n in range(6, 14)],
    ),
}

# The reserved area below a target's start is never larger than this; the probe's greenlets are
# suspended further apart.
NEAR = 1024


class Truth:
    """What a frame's caller is, by the calling convention, at the frame's first instruction."""

    def __init__(self, frame, registers):
        self.sp = value(frame, arch["sp"]) + arch["pops"]
        self.pc = value(frame, arch["link"]) if arch["link"] else word(self.sp - arch["pops"])
        self.registers = {name: value(frame, name) for name in registers}


def value(frame, register):
    """A register of a frame, as an integer."""
    if arch["halves"].startswith(register[0]):
        return int(frame.read_register(whole(register))["d"]["u"][0]) & (1 << 64) - 1
    v = member(frame.read_register(register))
    if v.type.code == gdb.TYPE_CODE_FLT:
        return int(v.format_string(format="x"), 16)
    return int(v) & (1 << 8 * v.type.sizeof) - 1


def member(v):
    """A register that can be seen in several ways: as a word or else as a float."""
    return v if view(v) is None else v[view(v)]


def view(v):
    if v.type.code != gdb.TYPE_CODE_UNION:
        return None
    return "u64" if "u64" in [field.name for field in v.type.fields()] else "double"


def whole(register):
    """The vector whose low half this is: of an unwound frame gdb knows only the largest one, which
    is z where there is SVE."""
    names = [each.name for each in gdb.newest_frame().architecture().registers()]
    vector = next(letter for letter in arch["halves"][1:] if letter + register[1:] in names)
    return vector + register[1:]


def word(address):
    size = gdb.lookup_type("long").sizeof
    data = gdb.selected_inferior().read_memory(address, size)
    return int.from_bytes(bytes(data), "little" if "little" in endian else "big")


def static(name):
    return word(int(gdb.parse_and_eval("(unsigned long)&%s" % name)))


mistakes = []
checked = 0
seen = set()


def mistake(text):
    where = gdb.newest_frame()
    at = gdb.execute("x/i $pc", to_string=True).strip()
    mistakes.append(text)
    if len(mistakes) <= 20:
        print("cfi: MISTAKE: %s\n     at %s" % (text, at))


def differences(frame, truth, what):
    """Compares an unwound frame with what it should be."""
    if frame is None:
        return ["%s: the backtrace ends before it" % what]
    found = []
    pairs = [("pc", truth.pc, frame.pc()), ("sp", truth.sp, value(frame, arch["sp"]))]
    for name, true in truth.registers.items():
        try:
            pairs.append((name, true, value(frame, name)))
        except gdb.error as error:
            found.append("%s: %s cannot be read: %s" % (what, name, error))
    if arch["signs"]:
        plain = lambda n, v: v & (1 << 48) - 1 if n in ("pc", arch["link"]) else v
        pairs = [(n, plain(n, a), plain(n, b)) for n, a, b in pairs]
    found += ["%s: %s is %#x, the unwinder says %#x" % (what, n, a, b) for n, a, b in pairs if a != b]
    return found


def without_guesses(check):
    """gdb has its own idea of what a `ret` on x86 does, and does not look at the CFI there. So for
    the time of the check there is something else."""

    def wrapped(frame, *rest):
        pc, inferior = frame.pc(), gdb.selected_inferior()
        if frame.level() or not arch["guessed"] or bytes(inferior.read_memory(pc, 1)) != arch["guessed"]:
            return check(frame, *rest)
        try:
            inferior.write_memory(pc, b"\x90")
        except gdb.MemoryError:
            return None  # qemu does not let its programs be changed: this one instruction is not checked
        gdb.execute("maintenance flush register-cache", to_string=True)
        try:
            return check(gdb.newest_frame(), *rest)
        finally:
            inferior.write_memory(pc, arch["guessed"])
            gdb.execute("maintenance flush register-cache", to_string=True)

    return wrapped


@without_guesses
def check_callers(frame, truths, what):
    """The frames above `frame` are these, nearest last in the list."""
    global checked
    checked += 1
    for truth in reversed(truths):
        frame = frame.older()
        for difference in differences(frame, truth, what):
            mistake(difference)
        if frame is None:
            return


def check_end(frame, what):
    """There is nothing above `frame`, and not by an error."""
    global checked
    checked += 1
    older = frame.older()
    if older is not None:
        mistake("%s: the backtrace goes on to %#x" % (what, older.pc()))
    elif frame.unwind_stop_reason() != gdb.FRAME_UNWIND_OUTERMOST:
        reason = gdb.frame_stop_reason_string(frame.unwind_stop_reason())
        mistake("%s: the backtrace ends by an error: %s" % (what, reason))


def recorded(frame, truth):
    """Is there a frame record of this caller where the frame pointer points?"""
    try:
        return not (word(value(frame, arch["fp"]) + arch["record"]) ^ truth.pc) & (1 << 48) - 1
    except gdb.MemoryError:
        return False


def inside(pc):
    return any(begin <= pc < end for begin, end in ranges.values())


def here():
    frame = gdb.newest_frame()
    return frame, frame.pc(), value(frame, arch["sp"])


def entry_at(pc):
    return next((name for name, (begin, _) in ranges.items() if begin == pc), None)


def truth_of_entry(frame, name):
    jumped = name != "greenlet_switch"
    return Truth(frame, arch["kept"] if jumped and arch["kept"] else arch["preserved"])


def give_values(frame, registers):
    """Puts values that nothing else has into these registers, and answers what was in them."""
    global given
    were = {}
    for name in registers:
        if name in (arch["link"], arch["sp"]):
            continue
        were[name] = value(frame, name)
        given += 1
        put(name, 0x5A00_0000_0000_0000 + (0x5A5 << 20) + given * 0x1001)
    return were


def put(name, new):
    if arch["halves"].startswith(name[0]):
        gdb.execute("set $%s.d.u[0] = %d" % (whole(name), new), to_string=True)
        return
    v = gdb.newest_frame().read_register(name)
    place = name if view(v) is None else name + "." + view(v)
    if member(v).type.code != gdb.TYPE_CODE_FLT:
        gdb.execute("set $%s = %d" % (place, new & (1 << 8 * v.type.sizeof) - 1), to_string=True)
        return
    # Only as memory can gdb be given the bits of a float.
    inferior, at = gdb.selected_inferior(), value(gdb.newest_frame(), arch["sp"]) - BELOW
    were = bytes(inferior.read_memory(at, 8))
    inferior.write_memory(at, new.to_bytes(8, "little" if "little" in endian else "big"))
    kind = "double" if v.type.sizeof == 8 or v.type.code == gdb.TYPE_CODE_UNION else "float"
    gdb.execute("set $%s = *(%s *)%d" % (place, kind, at), to_string=True)
    inferior.write_memory(at, were)


given = 0
BELOW = 256


def spoil_below(sp):
    gdb.selected_inferior().write_memory(sp - BELOW, b"\xa5" * BELOW)


def run_until(address):
    """Continues until `address`, an entry, or the end. True if it came to `address`."""
    stop = gdb.Breakpoint("*%#x" % address, internal=True, temporary=True)
    gdb.execute("continue", to_string=True)
    if stop.is_valid():
        stop.delete()
    return alive() and gdb.newest_frame().pc() == address


def alive():
    return gdb.selected_inferior().pid != 0


# Where the stack pointer has just been switched, as far as seen.
switches = set()


def switched_at(pc, sp, target, own):
    """Is the stack pointer the target's here? A greenlet that begins right below the running one has
    that one's address: then only where it was seen with others tells. (greenlet_swap goes to the word above the start.)"""
    if abs(own - target) > NEAR and target - NEAR <= sp <= target + 8:
        switches.add(pc)
    return pc in switches


# Who is suspended -> the truths of all frames that it is in, outermost first.
suspended = {}
# The same -> what its caller had in the registers that were given other values.
borrowed = {}


def activation():
    """From the first instruction of an entry until control is back in a caller, or in a greenlet's
    body that has just begun."""
    who, to = static("CFI_FROM"), static("CFI_TO")
    truths = []
    phase, target, own, calls, signed = "before the switch", None, 0, 0, False
    while True:
        frame, pc, sp = here()
        if not inside(pc):
            mistake("control left the arch file")
            return
        name = entry_at(pc)
        # A jump to another entry is one more frame; the entry itself, come to again, is not.
        if name and phase == "before the switch" and len(truths) < 2 and calls == 0:
            if not truths:
                jumped = name != "greenlet_switch" and arch["kept"]
                borrowed[who] = give_values(frame, arch["kept"] if jumped else arch["preserved"])
                frame = gdb.newest_frame()
            truths.append(truth_of_entry(frame, name))
            suspended[who] = truths
            if name == "greenlet_swap":
                target, own = value(frame, arch["target"]), sp
        if phase == "before the switch" and target and switched_at(pc, sp, target, own):
            if calls == 0:
                phase, truths = "after the switch", list(suspended[to])
            else:
                phase = "without a caller"
        if pc in said_signed and phase != "without a caller" and said_signed[pc] != signed:
            mistake("the CFI says that the return address is %ssigned" % ("" if said_signed[pc] else "not "))
        if arch["signs"]:
            text = frame.architecture().disassemble(pc)[0]["asm"]
            signed = text.startswith(arch["signs"][0]) or signed and not text.startswith(arch["signs"][1])
        seen.add(pc)
        slot = slot_of(frame, pc)
        seen.add(slot)
        spoil_below(sp)
        if phase == "before the switch" and target and target < sp - NEAR:
            spoil_below(target)
        what = "%s, %s" % (next(n for n, (b, e) in ranges.items() if b <= pc < e), phase)
        if phase == "without a caller":
            check_end(frame, what)
        else:
            check_callers(frame, truths, what)

        was = pc
        gdb.execute("stepi", to_string=True)
        if not alive():
            mistake("the program ended in the arch file")
            return
        frame, pc, sp = here()
        if phase != "without a caller" and pc == truths[-1].pc and sp == truths[-1].sp:
            left = truths.pop()
            for register, true in left.registers.items():
                if value(frame, register) != true:
                    mistake("%s is not what it was at entry" % register)
            if not inside(pc):
                if truths:
                    mistake("returned past %d frames" % len(truths))
                for register, own in borrowed[to if phase == "after the switch" else who].items():
                    put(register, own)
                return
            continue
        if inside(pc):
            continue

        # A callback, at its first instruction. It returns to behind the call.
        calls += 1
        back = (slot or was) + length(slot or was)
        if phase == "before the switch" and target and slot and switched_at(slot, sp, target, own):
            phase = "without a caller"
        older = frame.older()
        what = "in callback %d, %s" % (calls, phase)
        if older is None or older.pc() != back:
            mistake("%s: frame 1 is not the arch file's" % what)
        elif phase == "without a caller":
            check_end(older, what)
            if arch["fp"] and value(frame, arch["fp"]) != 0:
                mistake("%s: the frame pointer is not zero" % what)
            if arch["chain"] and word(value(frame, arch["sp"])) != 0:
                mistake("%s: the back chain is not zero" % what)
        else:
            check_callers(older, truths, what)
            if arch["record"] and not recorded(frame, truths[0]):
                mistake("%s: walkers by frame pointer do not come to the caller" % what)
        if not run_until(back):
            if phase != "without a caller":
                mistake("%s: it did not return" % what)
            return  # the greenlet has begun, and somebody in it is at an entry
        frame = gdb.newest_frame()
        if phase == "without a caller":
            phase, truths = "after the switch", list(suspended[to])
        elif value(frame, arch["result"]) == 0:
            target = None  # refused: nothing will be switched
        else:
            target = value(frame, arch["result"])
            own = value(frame, arch["sp"])


def slot_of(frame, address):
    """The instruction that runs in the same step as the one at this address, or None. (No signal's handler, and so no unwinder, ever
    sees the program stand there.)"""
    if arch["delay"] and frame.architecture().disassemble(address)[0]["asm"].startswith(("j", "b")):
        return address + arch["delay"]
    return None


def length(address):
    return gdb.newest_frame().architecture().disassemble(address)[0]["length"]


def symbols(program):
    """Addresses and sizes in the file of the functions that it has, and of what tells where the file lies in memory."""
    out = subprocess.run(["readelf", "-sW", program], check=True, capture_output=True, text=True)
    found = {}
    for line in out.stdout.splitlines():
        words = line.split()
        if len(words) >= 8 and (words[-1] in FUNCTIONS and words[3] == "FUNC" or words[-1] == "CFI_FROM"):
            found[words[-1]] = (int(words[1], 16), int(words[2], 0))
    return found


def has_descriptors(program):
    """Are the functions' symbols those of descriptors, whose first word is the address of the code? So it is in PowerPC's ELFv1."""
    out = subprocess.run(["readelf", "-SW", program], check=True, capture_output=True, text=True)
    return " .opd " in out.stdout


def return_address_signed(program, bias):
    """What the CFI of our functions says of that, by address."""
    out = subprocess.run(["readelf", "-wf", program], check=True, capture_output=True, text=True)
    said, pc, stack = {}, None, []
    for line in out.stdout.splitlines():
        if found := re.search(r" FDE .* pc=(\w+)\.\.(\w+)", line):
            pc, end = (bias + int(group, 16) for group in found.groups())
            state, ours = False, inside(pc)
        elif pc is None or not ours:
            continue
        elif found := re.search(r"advance_loc\w*: .* to (\w+)", line):
            to = bias + int(found.group(1), 16)
            said.update((at, state) for at in range(pc, to))
            pc = to
        elif "negate_ra_state" in line:
            state = not state
        elif "remember_state" in line:
            stack.append(state)
        elif "restore_state" in line:
            state = stack.pop()
        elif not line.strip():
            said.update((at, state) for at in range(pc, end))
            pc = None
    return said


def main():
    global arch, endian, ranges, said_signed
    for setting in [
        "pagination off", "confirm off", "height 0", "width 0", "backtrace past-main on",
        "disassemble-next-line off", "breakpoint pending off", "print inferior-events off",
        "debuginfod enabled off", "language c", "disable-randomization on", "print symbol-loading off",
    ]:
        try:
            gdb.execute("set " + setting, to_string=True)
        except gdb.error:
            pass
    program, remote = os.environ["CFI_PROGRAM"], os.environ.get("CFI_REMOTE")
    gdb.execute("file " + program, to_string=True)
    sizes = symbols(program)
    if "greenlet_switch" not in sizes:
        raise gdb.error("the program has no greenlet_switch")
    if remote:
        gdb.execute("set sysroot " + os.environ["CFI_SYSROOT"], to_string=True)
        gdb.execute("target remote " + remote, to_string=True)
        gdb.execute("tbreak main", to_string=True)
        gdb.execute("continue", to_string=True)
    else:
        gdb.execute("tbreak main", to_string=True)
        gdb.execute("run", to_string=True)

    name = gdb.newest_frame().architecture().name()
    if name.startswith("mips"):
        name = "mips, %d bytes" % gdb.lookup_type("long").sizeof
    arch = ARCHITECTURES[name]
    endian = gdb.execute("show endian", to_string=True)
    bias = int(gdb.parse_and_eval("(unsigned long)&CFI_FROM")) - sizes.pop("CFI_FROM")[0]
    code = word if has_descriptors(program) else int
    ranges = {n: (code(bias + at), code(bias + at) + size) for n, (at, size) in sizes.items()}
    said_signed = return_address_signed(program, bias) if arch["signs"] else {}
    disassemble = gdb.newest_frame().architecture().disassemble
    listings = {n: disassemble(begin, end - 1) for n, (begin, end) in ranges.items()}
    for begin, _ in ranges.values():
        gdb.Breakpoint("*%#x" % begin, internal=True)

    activations = 0
    gdb.execute("continue", to_string=True)
    while alive():
        _, pc, _ = here()
        if entry_at(pc):
            activations += 1
            activation()
            # It may stand at the next entry already.
            if alive() and entry_at(gdb.newest_frame().pc()):
                continue
        if alive():
            gdb.execute("continue", to_string=True)
        if len(mistakes) > 200:
            break
    status = gdb.parse_and_eval("$_exitcode")
    if not alive() and str(status) != "0":
        mistakes.append("the program's exit status is %s" % status)
        print("cfi: MISTAKE: " + mistakes[-1])

    listed = [line for lines in listings.values() for line in lines]
    for line in listed:
        # Padding is there to be looked up, not to be run.
        if line["addr"] not in seen and not line["asm"].startswith("nop"):
            mistakes.append("never ran: %(addr)#x %(asm)s" % line)
            print("cfi: MISTAKE: " + mistakes[-1])
    print(
        "cfi: %d instructions in %s, checked %d times in %d activations: %d mistakes"
        % (len(listed), ", ".join(ranges), checked, activations, len(mistakes))
    )
    print("cfi: ok" if not mistakes and activations and checked else "cfi: FAILED")


try:
    main()
except Exception as error:  # gdb would go on, and exit with status 0
    import traceback

    traceback.print_exc()
    print("cfi: FAILED: %s" % error)
if alive():
    gdb.execute("kill", to_string=True)
gdb.execute("quit")
