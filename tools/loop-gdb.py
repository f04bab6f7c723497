"""Commands of gdb for programs that use loop; of a live process or of a core file. Nothing is called in the program.

    gdb -p PID -x tools/loop-gdb.py -ex loop-dump
    gdb PROGRAM CORE -x tools/loop-gdb.py -ex loop-dump

    loop-list              the loops that some frame of some thread has at hand
    loop-dump [EXPRESSION]  a loop in the lines of loop_dump(), see docs/observing.md; without EXPRESSION all of them

The library needs its debugging information (-g). Times count from the loop's last reading of the clock.
"""
import gdb


def pointer_to(name):
    return gdb.lookup_type(f"struct {name}").pointer()


def outer(pointer, name, *members):
    """The structure that holds what pointer points to, as the given member of a member."""
    kind = gdb.lookup_type(f"struct {name}")
    offset = 0
    for member in members:
        field = next(field for field in kind.fields() if field.name == member)
        offset += field.bitpos // 8
        kind = field.type
    address = int(pointer) - offset
    return gdb.Value(address).cast(pointer_to(name)).dereference()


def linked(head):
    """The links of a list."""
    link = head["next"]
    while int(link) != int(head.address):
        yield link
        link = link["next"]


def chained(node, member):
    """The nodes of a list that ends with NULL, or with the node that closes the stack of posted ones."""
    closed = gdb.lookup_symbol("posted_closed")[0] or gdb.lookup_static_symbol("posted_closed")
    closed = int(closed.value().address) if closed is not None else 0
    while int(node) not in (0, closed):
        yield node
        node = node[member]


def constant(name):
    """The value of an enumerator."""
    return int(gdb.parse_and_eval(name))


def name_of(prefix, names, value):
    """Of enumerators with a prefix the one of that value, as loop_dump() writes it: OP_WRITE is write."""
    return next((name.lower() for name in names.split() if constant(prefix + name) == int(value)), "unknown")


def error_name(status):
    """LOOP_ECANCELED is ECANCELED."""
    if status == 0:
        return "0"
    errors = gdb.lookup_static_symbol("LOOP_EPERM").type.fields()
    return next((error.name[len("LOOP_"):] for error in errors if error.enumval == status), str(status))


HANDLES = "TIMER PREPARE CHECK IDLE ASYNC DESC TCP SIGNAL POLL MACHPORT"
OPERATIONS = "READ WRITE RECEIVE SEND ACCEPT READY EXIT CHANGE CONNECT SHUTDOWN"
STREAMS = "LISTENING CONNECTING CONNECTED FAILED READING EOF SHUT PAUSED"


class Dump:
    def __init__(self, loop):
        self.loop = loop
        self.now = int(loop["now"])

    def lines(self):
        loop = self.loop
        yield self.loop_line()
        for link in linked(loop["handles"]):
            yield from self.handle_lines(outer(link, "handle", "all"))
        for link in linked(loop["ready"]):
            ready = outer(link, "ready", "link")
            if int(ready["kind"]) == constant("READY_OP"):
                yield self.op_line(outer(ready.address, "op", "ready"))
        for link in linked(loop["done"]):
            yield self.op_line(outer(link, "op", "ready", "link"))
        timers = loop["timers"]
        for i in range(int(timers["count"])):
            node = timers["entries"][i]["node"]
            if int(node) != int(timers["none"].address):
                yield self.timer_line(node)
        for link in linked(loop["works"]):
            work = outer(link, "work", "all")
            state = {constant("WORK_QUEUED"): "queued", constant("WORK_RUNNING"): "running"}
            yield f"work {int(work.address):#x} state={state.get(int(work['state']), 'finished')}"

    def loop_line(self):
        loop = self.loop
        backend = loop["backend"]["name"].string()
        data = loop["backend_data"]
        fd = int(data.cast(pointer_to(f"{backend}_backend"))["fd"]) if backend in ("epoll", "kqueue") else -1
        posted = sum(1 for _ in chained(loop["tasks"], "next"))
        posted += sum(1 for _ in chained(gdb.Value(int(loop["posted"])).cast(pointer_to("post_node")), "next"))
        closing = sum(1 for _ in chained(loop["closing_first"], "closing_next"))
        metrics = loop["metrics"]
        ops = int(metrics["submitted"]) - int(metrics["delivered"]) + int(loop["active_works"])
        alive = any((int(loop["active_handles"]), ops, int(loop["closing_handles"]), posted))
        return (f"loop {backend} {int(loop.address):#x} fd={fd} running={int(loop['running'])} alive={int(alive)}"
                f" active={int(loop['active_handles'])} ops={ops}"
                f" ready={sum(1 for _ in linked(loop['ready']))} closing={closing} posted={posted}"
                f" timers={int(loop['timers']['live'])}")

    def due(self, node):
        return f" due_in={int(node['due']) - self.now}"

    def handle_lines(self, handle):
        kind = name_of("LOOP_", HANDLES, handle["type"])
        flags = int(handle["flags"])
        closing = bool(flags & constant("HANDLE_CLOSING"))
        desc = None
        if kind in ("desc", "tcp", "poll"):
            desc = handle.address.cast(pointer_to("desc")).dereference()
        active = int(desc["inflight"]) > 0 if kind == "desc" else bool(flags & constant("HANDLE_ACTIVE"))
        line = (f"handle {kind} {int(handle.address):#x} active={int(active and not closing)}"
                f" ref={int(bool(flags & constant('HANDLE_REF')))} closing={int(closing)}")
        if kind == "timer":
            timer = handle.address.cast(pointer_to("timer")).dereference()
            line += f" repeat={int(timer['repeat'])}"
            if int(timer["node"]["position"]) != 0:
                line += self.due(timer["node"])
        if kind in ("async", "signal"):
            state = int(handle.address.cast(pointer_to("async"))["state"])
            line += f" sent={int(bool(state & constant('ASYNC_QUEUED')))}"
        if kind == "signal":
            line += f" signum={int(handle.address.cast(pointer_to('signal'))['signum'])}"
        if desc is not None:
            line += f" fd={int(desc['os']['fd'])} ops={int(desc['inflight'])}"
        if kind == "tcp":
            stream = handle.address.cast(pointer_to("stream")).dereference()
            states = [name.lower() for name in STREAMS.split() if int(stream["flags"]) & constant(f"STREAM_{name}")]
            line += f" queued={int(stream['queued'])} low={int(stream['low'])} high={int(stream['high'])}"
            if states:
                line += " stream=" + ",".join(states)
        if kind == "poll":
            line += f" events={int(handle.address.cast(pointer_to('poll'))['asked'])}"
        yield line
        if desc is not None:
            for member in ("reads", "writes"):
                for link in linked(desc[member]):
                    yield self.op_line(outer(link, "op", "ready", "link"))

    def op_line(self, op):
        line = f"op {name_of('OP_', OPERATIONS, op['kind'])} {int(op.address):#x} handle={int(op['desc']):#x}"
        if int(op["state"]) == constant("OP_FINISHED"):
            return f"{line} state=finished status={error_name(int(op['status']))} bytes={int(op['bytes'])}"
        left = sum(int(op["bufs"][i]["len"]) for i in range(int(op["first"]), int(op["nbufs"])))
        return f"{line} state=parked bytes={int(op['bytes'])} left={left}"

    def timer_line(self, node):
        kinds = (("TIMER_HANDLE", "handle", "timer", "node"),
                 ("TIMER_READ_DEADLINE", "read_deadline", "desc", "read_deadline"),
                 ("TIMER_WRITE_DEADLINE", "write_deadline", "desc", "write_deadline"),
                 ("TIMER_OP_DEADLINE", "op_deadline", "op", "deadline"),
                 ("TIMER_ACCEPT_PAUSE", "accept_pause", "desc", "read_deadline"))
        for symbol, name, struct, member in kinds:
            if int(node["kind"]) == constant(symbol):
                return f"timer {name} {int(outer(node, struct, member).address):#x}{self.due(node)}"
        return f"timer unknown {int(node):#x}"


# -------------------------------------------------------------------------------------------------------- finding loops


def loop_in(value):
    """The address in a variable that points to a loop; 0 for others."""
    kind = value.type.strip_typedefs()
    if value.is_optimized_out or kind.code != gdb.TYPE_CODE_PTR:
        return 0
    return int(value) if kind.target().strip_typedefs().tag == "loop" else 0


def loops_in_frame(frame):
    try:
        block = frame.block()
    except RuntimeError:
        return
    while block is not None:
        for symbol in block:
            if symbol.is_variable or symbol.is_argument:
                try:
                    address = loop_in(symbol.value(frame))
                except (gdb.error, gdb.MemoryError, RuntimeError):
                    continue
                if address:
                    yield address
        block = block.superblock


def find_loops():
    found = []
    selected = gdb.selected_thread()
    try:
        for thread in gdb.selected_inferior().threads():
            thread.switch()
            frame = gdb.newest_frame()
            while frame is not None and frame.is_valid():
                for address in loops_in_frame(frame):
                    if address not in found and is_loop(address):
                        found.append(address)
                frame = frame.older()
    finally:
        if selected is not None:
            selected.switch()
    return [gdb.Value(address).cast(pointer_to("loop")).dereference() for address in found]


def is_loop(address):
    """Whether what a variable says is there is: an unset one points anywhere."""
    try:
        loop = gdb.Value(address).cast(pointer_to("loop")).dereference()
        return (loop["backend"]["name"].string() in ("epoll", "kqueue", "iocp")
                and int(loop["handles"]["next"]["prev"]) == int(loop["handles"].address))
    except (gdb.error, gdb.MemoryError, UnicodeDecodeError):
        return False


class LoopList(gdb.Command):
    """The loops that some frame of some thread has at hand."""

    def __init__(self):
        super().__init__("loop-list", gdb.COMMAND_DATA)

    def invoke(self, argument, from_tty):
        for loop in find_loops():
            print(Dump(loop).loop_line())


class LoopDump(gdb.Command):
    """A loop in the lines of loop_dump(): loop-dump [EXPRESSION]. Without EXPRESSION all that loop-list finds."""

    def __init__(self):
        super().__init__("loop-dump", gdb.COMMAND_DATA, gdb.COMPLETE_EXPRESSION)

    def invoke(self, argument, from_tty):
        if argument:
            address = int(gdb.parse_and_eval(argument))
            loops = [gdb.Value(address).cast(pointer_to("loop")).dereference()]
        else:
            loops = find_loops()
        if not loops:
            raise gdb.GdbError("no frame has a loop at hand: give an expression")
        for loop in loops:
            for line in Dump(loop).lines():
                print(line)


LoopList()
LoopDump()
