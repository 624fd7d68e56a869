//! Random programs over the engine, and the model that says what each step must do.
//!
//! Everybody who runs takes the next operation from the one program: begin another at some depth of recursion,
//! switch, finish, recurse, return. Each level of recursion keeps a pattern of words and three floats in its frame. After every
//! operation the engine is compared with the model: who runs, the word that arrived, who is active, where each stretch ends,
//! **how many bytes of each are saved**, every pattern of every suspended greenlet as `read` and `locate` show it, and every
//! pattern of the running one where it stands.
//!
//! This file needs nothing but `core` and the engine: no allocator, no proptest, no operating system. Programs for
//! bare machines include it by its path, with static memory and the generator of operations at the end.
//!
//! Nothing that is looked at from outside lies in the frames: the whole state is a [`World`] that the host puts into
//! a static or on the heap.

use core::ffi::c_void;
use core::fmt;
use core::hint::black_box;
use core::ptr;
use core::sync::atomic::{AtomicPtr, Ordering};
use greenlet::raw::{Error, Greenlet, Memory, STACK_ALIGN, Stack, Thread};

/// How many greenlets there are; number 0 is main.
pub const GREENLETS: usize = 7;
/// How many stacks there are; number 0 is the native one.
pub const STACKS: usize = 3;
/// How deep a greenlet recurses at most.
pub const LEVELS: usize = 7;
/// Buffers in the pool: as many as there are greenlets, and one more to move to.
pub const BLOCKS: usize = GREENLETS + 1;
/// The most words that one level keeps.
const WORDS: usize = 150;

/// One operation. A greenlet that does not fit, such as one that has begun where a new one is needed, stands for the next
/// one after it that does; if there is none, nothing happens.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Op {
    /// Begins `who` on stack `on`. `lean`: its first level has as small a frame as there can be. `lend`: with a
    /// buffer of that many bytes for good, unless 0.
    Start { who: u8, on: u8, lean: bool, lend: u16 },
    /// Switches to `who`.
    Switch { who: u8, inline: bool },
    /// Ends the running one and goes on with `who`. Main does not finish.
    Finish { who: u8 },
    /// Ends the running one and goes on with the one above it on the stack, without any memory.
    FinishAbove,
    /// Ends the running one and begins `who` on stack `on`.
    FinishAndStart { who: u8, on: u8 },
    /// Forgets a suspended one.
    Release { who: u8 },
    /// One more level of recursion, with a pattern of a size of which there are four.
    Deeper { size: u8 },
    /// Returns from a level of recursion.
    Shallower,
    /// After `after` more requests for memory the next `times` get none.
    Starve { after: u8, times: u8 },
    /// Something that must be refused.
    Misuse(Misuse),
}

/// What must be refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Misuse {
    StartActive(u8),
    StartOnForeignStack(u8),
    SwitchToInactive(u8),
    SwitchToForeign,
    SwitchToSelf,
    FinishIntoSelf,
    FinishIntoInactive(u8),
    FinishIntoForeign,
    FinishAndStartActive(u8),
    FinishAndStartOnForeignStack(u8),
    ReleaseSelf,
    ReleaseForeign,
    ReleaseInactive(u8),
}

impl Misuse {
    /// How many kinds there are.
    pub const KINDS: u8 = 13;

    /// The kinds by number, so that whoever makes programs need not name them. (The fuzz target's corpus has their numbers.)
    pub fn of_kind(kind: u8, who: u8) -> Misuse {
        match kind % Self::KINDS {
            0 => Misuse::ReleaseSelf,
            1 => Misuse::ReleaseForeign,
            2 => Misuse::SwitchToForeign,
            3 => Misuse::SwitchToSelf,
            4 => Misuse::FinishIntoSelf,
            5 => Misuse::FinishIntoForeign,
            6 => Misuse::ReleaseInactive(who),
            7 => Misuse::StartActive(who),
            8 => Misuse::StartOnForeignStack(who),
            9 => Misuse::SwitchToInactive(who),
            10 => Misuse::FinishIntoInactive(who),
            11 => Misuse::FinishAndStartActive(who),
            _ => Misuse::FinishAndStartOnForeignStack(who),
        }
    }
}

impl fmt::Debug for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stack = |on: u8| ["native", "stack 1", "stack 2"][on as usize % STACKS];
        match *self {
            Op::Start { who, on, lean, lend } => {
                let lean = if lean { "lean " } else { "" };
                write!(f, "start {lean}{who} on {}", stack(on))?;
                if lend != 0 {
                    write!(f, ", with {lend} bytes lent")?;
                }
                Ok(())
            }
            Op::Switch { who, inline: false } => write!(f, "switch to {who}"),
            Op::Switch { who, inline: true } => write!(f, "switch in line to {who}"),
            Op::Finish { who } => write!(f, "finish into {who}"),
            Op::FinishAbove => write!(f, "finish into the one above"),
            Op::FinishAndStart { who, on } => write!(f, "finish and start {who} on {}", stack(on)),
            Op::Release { who } => write!(f, "release {who}"),
            Op::Deeper { size } => write!(f, "deeper, {} words", SIZES[size as usize % 4]),
            Op::Shallower => write!(f, "shallower"),
            Op::Starve { after, times } => {
                write!(f, "after {after} requests refuse {times}")
            }
            Op::Misuse(what) => write!(f, "misuse: {what:?}"),
        }
    }
}

const SIZES: [usize; 4] = [1, 6, 33, WORDS];

/// What was not as the model says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Which operation: its index, from 0.
    pub step: usize,
    /// Who ran.
    pub running: usize,
    /// Whom it is about.
    pub who: usize,
    pub what: &'static str,
    pub found: usize,
    pub expected: usize,
}

/// A pattern in a frame, known by its address.
#[derive(Clone, Copy)]
struct Local {
    address: usize,
    words: usize,
    seed: usize,
}

/// What the model knows of a greenlet.
#[derive(Clone, Copy)]
struct Flow {
    active: bool,
    on: usize,
    /// Only while it is suspended.
    start: usize,
    stop: usize,
    saved: usize,
    lent: usize,
    levels: usize,
    locals: [Local; LEVELS],
    /// From here on, up to the stop, it was left with bytes of this sum. 0 if it does not matter.
    frames: usize,
    sum: usize,
}

const NEW: Flow = Flow {
    active: false,
    on: 0,
    start: 0,
    stop: 0,
    saved: 0,
    lent: 0,
    levels: 0,
    locals: [Local { address: 0, words: 0, seed: 0 }; LEVELS],
    frames: 0,
    sum: 0,
};

/// How the one that is left leaves.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Leave {
    Suspended,
    Finished,
}

/// What the host supplies. All memory is aligned to [`STACK_ALIGN`].
#[derive(Clone, Copy)]
pub struct Host {
    /// The separate stacks: bottom and size.
    pub stacks: [(*mut u8, usize); STACKS - 1],
    /// The lowest address that may be used on the native stack; 0 if it is large.
    pub native_bottom: usize,
    /// Somebody goes deeper only if at least this much of the stack is left. A level takes up to 2 KiB, or 4 where
    /// nothing is optimized.
    pub reserve: usize,
    /// [`BLOCKS`] blocks of `block_size` bytes, for slice buffers. Null: there is no allocator, and everybody, main too, is
    /// lent a buffer.
    pub pool: *mut u8,
    pub block_size: usize,
    /// [`GREENLETS`] blocks of `lend_size` bytes, for buffers that are lent.
    pub lend: *mut u8,
    pub lend_size: usize,
    /// Called before each operation: its index, who runs, and the operation.
    pub trace: Option<fn(usize, usize, Op)>,
}

/// Where the operations come from.
#[derive(Clone, Copy)]
enum Source {
    List(*const Op, usize),
    Random(Random, usize),
}

/// The whole state of a run. It must not lie in a frame that is sliced.
pub struct World {
    thread: Thread,
    stacks: [Stack; STACKS - 1],
    greenlets: [Greenlet; GREENLETS],
    /// Another thread's, with its main greenlet. It never runs.
    foreign: Thread,
    foreign_main: Greenlet,

    host: Host,
    source: Source,
    step: usize,
    ended: bool,
    failure: Option<Failure>,
    arrivals: usize,

    // The model.
    flows: [Flow; GREENLETS],
    running: usize,
    previous: usize,
    leave: Leave,
    /// `running` begins.
    begins: bool,
    /// The one that begins is lean.
    lean: bool,
    /// The one that is left runs on the same stack.
    same_stack: bool,
    word: usize,
    words: usize,
    seeds: usize,
    /// What `would_move` said of a local of the one that was left.
    moves: bool,
    moves_address: usize,

    // Memory.
    in_use: [bool; BLOCKS],
    sizes: [usize; BLOCKS],
    starve_after: usize,
    starve_times: usize,
    /// A request that was not for less than before was refused since the last operation began.
    starved: bool,
    buffer: [u8; WORDS * size_of::<usize>()],
}

static WORLD: AtomicPtr<World> = AtomicPtr::new(ptr::null_mut());

type W = *mut World;

/// Runs the operations of a list. `world` is written first; it may be uninitialized.
///
/// # Safety
///
/// `world` and what `host` names are valid, lie in no frame, and are nobody else's meanwhile; one run at a time.
#[allow(dead_code)]
#[inline(never)]
pub unsafe fn run_list(world: *mut World, host: Host, ops: &[Op]) -> Result<usize, Failure> {
    unsafe { run(world, host, Source::List(ops.as_ptr(), ops.len())) }
}

/// Runs `count` random operations.
///
/// # Safety
///
/// As for [`run_list`].
#[allow(dead_code)]
#[inline(never)]
pub unsafe fn run_random(
    world: *mut World,
    host: Host,
    seed: u32,
    count: usize,
) -> Result<usize, Failure> {
    unsafe { run(world, host, Source::Random(Random(seed), count)) }
}

/// Answers how many arrivals were checked.
unsafe fn run(w: W, host: Host, source: Source) -> Result<usize, Failure> {
    unsafe {
        let memory =
            if host.pool.is_null() { Memory::NONE } else { Memory { resize, ctx: w.cast() } };
        w.write(World {
            thread: Thread::new(memory),
            stacks: [const { Stack::new() }; STACKS - 1],
            greenlets: [const { Greenlet::new() }; GREENLETS],
            foreign: Thread::new(Memory::NONE),
            foreign_main: Greenlet::new(),
            host,
            source,
            step: 0,
            ended: false,
            failure: None,
            arrivals: 0,
            flows: [NEW; GREENLETS],
            running: 0,
            previous: 0,
            leave: Leave::Suspended,
            begins: false,
            lean: false,
            same_stack: false,
            word: 0,
            words: 0,
            seeds: 0,
            moves: false,
            moves_address: 0,
            in_use: [false; BLOCKS],
            sizes: [0; BLOCKS],
            starve_after: 0,
            starve_times: 0,
            starved: false,
            buffer: [0; WORDS * size_of::<usize>()],
        });
        Thread::attach(thread(w), record(w, 0));
        Thread::attach(&raw mut (*w).foreign, &raw mut (*w).foreign_main);
        for (i, &(bottom, size)) in host.stacks.iter().enumerate() {
            (*stack(w, i + 1)).attach(thread(w), bottom, size);
        }
        if host.pool.is_null() {
            prepare_record(w, 0, 0);
            Thread::attach(thread(w), record(w, 0));
        }
        let (stop, lent) = ((*record(w, 0)).stretch().1, (*w).flows[0].lent);
        (*w).flows[0] = Flow { active: true, stop, lent, ..NEW };
        WORLD.store(w, Ordering::Relaxed);

        level::<3>(w, 0, 0);
        (*w).flows[0].levels = 0;

        // Everybody returns from all levels, and finishes.
        if (*w).failure.is_none() {
            (*w).starve_times = 0;
            for who in 1..GREENLETS {
                if !(*w).flows[who].active || (*w).failure.is_some() {
                    continue;
                }
                depart(w, 0, who, Leave::Suspended, 0);
                let word = to_word((*w).word);
                match Thread::switch(thread(w), record(w, who), word) {
                    Ok(word) => arrive(w, 0, word),
                    Err(error) => {
                        refused(w, 0, error);
                        let _ = Thread::release(thread(w), record(w, who));
                        (*w).flows[who].active = false;
                    }
                }
            }
        }
        if (*w).failure.is_none() {
            for who in 1..GREENLETS {
                check(w, who, "not active at the end", (*record(w, who)).is_active() as usize, 0);
            }
            for block in 0..BLOCKS {
                let main = (*record(w, 0)).capacity() != 0
                    && (*w).in_use[block]
                    && (*w).in_use.iter().filter(|used| **used).count() == 1;
                check(w, 0, "buffers in use at the end", ((*w).in_use[block] && !main) as usize, 0);
            }
        }
        match (*w).failure {
            Some(failure) => Err(failure),
            None => Ok((*w).arrivals),
        }
    }
}

unsafe fn thread(w: W) -> *mut Thread {
    unsafe { &raw mut (*w).thread }
}

unsafe fn record(w: W, who: usize) -> *mut Greenlet {
    unsafe { (&raw mut (*w).greenlets).cast::<Greenlet>().add(who) }
}

unsafe fn stack(w: W, on: usize) -> *mut Stack {
    unsafe {
        if on == 0 {
            Thread::native(thread(w))
        } else {
            (&raw mut (*w).stacks).cast::<Stack>().add(on - 1)
        }
    }
}

fn to_word(word: usize) -> *mut c_void {
    ptr::without_provenance_mut(word)
}

/// Compares. Notes the first difference.
unsafe fn check(w: W, who: usize, what: &'static str, found: usize, expected: usize) -> bool {
    unsafe {
        if found != expected && (*w).failure.is_none() {
            let (step, running) = ((*w).step.wrapping_sub(1), (*w).running);
            (*w).failure = Some(Failure { step, running, who, what, found, expected });
        }
        found == expected
    }
}

/// What word `i` of a pattern is.
fn pattern(seed: usize, i: usize) -> usize {
    (seed.wrapping_mul(31).wrapping_add(i)).wrapping_mul(0x9E37_79B1).rotate_left(7) ^ seed
}

fn float(seed: usize, i: usize) -> f64 {
    (seed * 8 + i) as f64 * 0.337
}

/// The next operation, if there is one.
unsafe fn next(w: W, me: usize) -> Option<Op> {
    unsafe {
        if (*w).ended || (*w).failure.is_some() {
            return None;
        }
        let step = (*w).step;
        let op = match &mut (*w).source {
            Source::List(ops, len) => (step < *len).then(|| *ops.add(step)),
            Source::Random(random, count) => (step < *count).then(|| random.op()),
        };
        (*w).step += 1;
        match op {
            None => (*w).ended = true,
            Some(op) => {
                if let Some(trace) = (*w).host.trace {
                    trace(step, me, op);
                }
            }
        }
        op
    }
}

/// One level of recursion: a pattern in the frame, and the loop that carries out operations.
#[inline(never)]
unsafe fn level<const N: usize>(w: W, me: usize, depth: usize) {
    unsafe {
        (*w).seeds += 1;
        let seed = black_box((*w).seeds);
        let mut words = [0usize; N];
        for (i, word) in words.iter_mut().enumerate() {
            *word = pattern(seed, i);
        }
        let address = (&raw mut words).expose_provenance();
        let (a, b, c) = (float(seed, 1), float(seed, 2), float(seed, 3));
        let (a, b, c) = (black_box(a), black_box(b), black_box(c));
        (*w).flows[me].locals[depth] = Local { address, words: N, seed };
        (*w).flows[me].levels = depth + 1;

        while let Some(op) = next(w, me) {
            match op {
                Op::Shallower if depth > 0 => break,
                Op::Shallower => {}
                Op::Deeper { size } => {
                    if depth + 1 < LEVELS && has_room(w, me, address) {
                        match size % 4 {
                            0 => level::<{ SIZES[0] }>(w, me, depth + 1),
                            1 => level::<{ SIZES[1] }>(w, me, depth + 1),
                            2 => level::<{ SIZES[2] }>(w, me, depth + 1),
                            _ => level::<{ SIZES[3] }>(w, me, depth + 1),
                        }
                        (*w).flows[me].levels = depth + 1;
                    }
                }
                op => perform(w, me, op, address),
            }
            // After everything that may have suspended it.
            if (*w).failure.is_none() {
                check(w, me, "number in a frame", black_box(me), (*w).running);
                for (i, word) in words.iter().enumerate() {
                    let word = ptr::from_ref(word).read_volatile();
                    check(w, me, "word in a frame", word, pattern(seed, i));
                }
                let right = a == float(seed, 1) && b == float(seed, 2) && c == float(seed, 3);
                check(w, me, "float in a frame", right as usize, 1);
            }
            if (*w).failure.is_some() {
                bail(w, me);
            }
        }
    }
}

/// A first level with a small frame, `above` which nothing changes, also where nothing is optimized: short stretches take another path through the
/// engine than long ones.
#[inline(never)]
unsafe fn lean(w: W, me: usize, above: usize) {
    unsafe {
        let mut words = [0usize; 4];
        let seed = note(w, me, &mut words);
        while let Some(who) = lean_next(w, me, above, &raw const words) {
            let word = to_word((*w).word);
            let result = Thread::switch_inline(thread(w), record(w, who), word);
            lean_arrive(w, me, seed, &words, result);
        }
    }
}

/// Fills and notes the pattern of a lean one.
#[inline(never)]
unsafe fn note(w: W, me: usize, words: &mut [usize; 4]) -> usize {
    unsafe {
        (*w).seeds += 1;
        let seed = (*w).seeds;
        words.iter_mut().enumerate().for_each(|(i, word)| *word = pattern(seed, i));
        let address = words.as_mut_ptr().expose_provenance();
        (*w).flows[me].locals[0] = Local { address, words: words.len(), seed };
        (*w).flows[me].levels = 1;
        seed
    }
}

/// Carries out operations up to the next switch, and answers where that goes.
#[inline(never)]
unsafe fn lean_next(w: W, me: usize, above: usize, words: *const [usize; 4]) -> Option<usize> {
    unsafe {
        while let Some(op) = next(w, me) {
            match op {
                Op::Switch { who, .. } => {
                    if let Some(who) = pick(w, who, true) {
                        depart(w, me, who, Leave::Suspended, words.expose_provenance());
                        // Its own frame still changes.
                        frames_from(w, me, above);
                        return Some(who);
                    }
                }
                Op::Deeper { .. } if has_room(w, me, words.addr()) => {
                    level::<6>(w, me, 1);
                    (*w).flows[me].levels = 1;
                }
                Op::Deeper { .. } | Op::Shallower => {}
                op => perform(w, me, op, words.expose_provenance()),
            }
            if (*w).failure.is_some() {
                bail(w, me);
            }
        }
        None
    }
}

#[inline(never)]
unsafe fn lean_arrive(
    w: W,
    me: usize,
    seed: usize,
    words: &[usize; 4],
    result: Result<*mut c_void, Error>,
) {
    unsafe {
        match result {
            Ok(word) => arrive(w, me, word),
            Err(error) => refused(w, me, error),
        }
        for (i, word) in words.iter().enumerate() {
            let word = ptr::from_ref(word).read_volatile();
            check(w, me, "word in a lean frame", word, pattern(seed, i));
        }
        if (*w).failure.is_some() {
            bail(w, me);
        }
    }
}

/// Something went wrong: back to main, which gives up.
#[inline(never)]
unsafe fn bail(w: W, me: usize) {
    unsafe {
        if me != 0 {
            (*w).starve_times = 0;
            let _ = Thread::switch(thread(w), record(w, 0), ptr::null_mut());
            let _ = Thread::finish(thread(w), record(w, 0), ptr::null_mut());
        }
    }
}

/// Where every greenlet but main begins.
unsafe extern "C" fn body(word: *mut c_void) -> ! {
    unsafe {
        let w = WORLD.load(Ordering::Relaxed);
        let me = (*w).running;
        arrive(w, me, word);
        if (*w).failure.is_some() {
            bail(w, me);
        }
        if (*w).lean {
            let above = [black_box(me); 2];
            lean(w, me, above.as_ptr().expose_provenance());
            black_box(above);
        } else {
            level::<2>(w, me, 0);
        }
        if (*w).failure.is_some() {
            bail(w, me);
        }
        // No operation is left.
        (*w).starve_times = 0;
        (*w).flows[me].levels = 0;
        loop {
            depart(w, me, 0, Leave::Finished, 0);
            let error = Thread::finish(thread(w), record(w, 0), to_word((*w).word));
            refused(w, me, error);
            // Somebody's lent buffer is too small. Without the others nothing is to be saved.
            let mut others = 0;
            for who in 1..GREENLETS {
                if who != me && (*w).flows[who].active {
                    others += 1;
                    let _ = Thread::release(thread(w), record(w, who));
                    (*w).flows[who].active = false;
                }
            }
            check(
                w,
                me,
                "finishing into main needs others to be in the way",
                (others == 0) as usize,
                0,
            );
            if (*w).failure.is_some() {
                bail(w, me);
            }
        }
    }
}

/// Whether there is room for more frames on the running stack.
unsafe fn has_room(w: W, me: usize, address: usize) -> bool {
    unsafe {
        let bottom = match (*w).flows[me].on {
            0 => (*w).host.native_bottom,
            on => (*w).host.stacks[on - 1].0.addr(),
        };
        address.saturating_sub(bottom) > (*w).host.reserve
    }
}

/// Whether the running one may begin another on stack `on`.
unsafe fn may_begin(w: W, me: usize, on: usize, address: usize) -> bool {
    unsafe {
        let lowest = match on {
            _ if on == (*w).flows[me].on => return has_room(w, me, address),
            0 => lowest_in_place(w, 0).map_or(0, |who| (*w).flows[who].start),
            _ => return true,
        };
        lowest.saturating_sub((*w).host.native_bottom) > (*w).host.reserve
    }
}

/// The first from `who` on, in a circle, that is active or is not; never the running one, and main only if active.
unsafe fn pick(w: W, who: u8, active: bool) -> Option<usize> {
    unsafe {
        (0..GREENLETS)
            .map(|i| (who as usize + i) % GREENLETS)
            .find(|&i| i != (*w).running && (*w).flows[i].active == active)
    }
}

/// Carries out one operation. `address` is that of a local of the level that asks for it.
#[inline(never)]
unsafe fn perform(w: W, me: usize, op: Op, address: usize) {
    unsafe {
        match op {
            Op::Start { who, on, lean, lend } => {
                let (Some(who), on) = (pick(w, who, false), on as usize % STACKS) else { return };
                if !may_begin(w, me, on, address) {
                    return;
                }
                prepare_record(w, who, lend);
                depart(w, me, who, Leave::Suspended, address);
                begin(w, who, on, on == (*w).flows[me].on);
                (*w).lean = lean;
                let word = to_word((*w).word);
                match Thread::start(thread(w), record(w, who), stack(w, on), body, word) {
                    Ok(word) => arrive(w, me, word),
                    Err(error) => refused(w, me, error),
                }
            }
            Op::Switch { who, inline } => {
                let Some(who) = pick(w, who, true) else { return };
                depart(w, me, who, Leave::Suspended, address);
                let word = to_word((*w).word);
                let result = if inline {
                    hop_inline(w, who, word)
                } else {
                    Thread::switch(thread(w), record(w, who), word)
                };
                match result {
                    Ok(word) => arrive(w, me, word),
                    Err(error) => refused(w, me, error),
                }
            }
            Op::Finish { who } => {
                let Some(who) = pick(w, who, true) else { return };
                if me != 0 {
                    finish(w, me, who);
                }
            }
            Op::FinishAbove => {
                let above = Thread::above(record(w, me));
                let Some(above) = (0..GREENLETS).find(|&i| record(w, i) == above) else { return };
                if me != 0 {
                    let needs_none = Thread::needs_no_memory(thread(w), record(w, above));
                    check(w, above, "the one above needs no memory", needs_none as usize, 1);
                    finish(w, me, above);
                }
            }
            Op::FinishAndStart { who, on } => {
                let (Some(who), on) = (pick(w, who, false), on as usize % STACKS) else { return };
                if me == 0 || !may_begin(w, me, on, address) {
                    return;
                }
                prepare_record(w, who, 0);
                depart(w, me, who, Leave::Finished, 0);
                begin(w, who, on, on == (*w).flows[me].on);
                (*w).lean = false;
                let word = to_word((*w).word);
                let (record, stack) = (record(w, who), stack(w, on));
                let error = Thread::finish_and_start(thread(w), record, stack, body, word);
                refused(w, me, error);
            }
            Op::Release { who } => {
                let Some(who) = pick(w, who, true) else { return };
                if who != 0 {
                    let done = Thread::release(thread(w), record(w, who));
                    check(w, who, "release", result_code(done.err()), 0);
                    (*w).flows[who] = Flow { lent: (*w).flows[who].lent, ..NEW };
                    compare(w);
                }
            }
            Op::Starve { after, times } => {
                ((*w).starve_after, (*w).starve_times) = (after as usize, times as usize);
            }
            Op::Misuse(what) => {
                misuse(w, me, what);
                compare(w);
            }
            Op::Deeper { .. } | Op::Shallower => {}
        }
    }
}

/// `switch_inline`, with values that live across it.
#[inline(never)]
unsafe fn hop_inline(w: W, who: usize, word: *mut c_void) -> Result<*mut c_void, Error> {
    unsafe {
        let seed = black_box((*w).words);
        let ints = [1, 2, 3, 4, 5, 6].map(|i| black_box(pattern(seed, i)));
        let floats = [1, 2, 3, 4].map(|i| black_box(float(seed, i)));
        let result = Thread::switch_inline(thread(w), record(w, who), word);
        let mut right = true;
        for (i, found) in ints.into_iter().enumerate() {
            right &= found == pattern(seed, i + 1);
        }
        for (i, found) in floats.into_iter().enumerate() {
            right &= found == float(seed, i + 1);
        }
        check(w, who, "values across a switch in line", right as usize, 1);
        result
    }
}

/// Finishes into `who`, without memory where that must do.
unsafe fn finish(w: W, me: usize, who: usize) {
    unsafe {
        let needs_none = Thread::needs_no_memory(thread(w), record(w, who));
        let before = ((*w).starve_after, (*w).starve_times);
        if needs_none {
            ((*w).starve_after, (*w).starve_times) = (0, 1000);
        }
        depart(w, me, who, Leave::Finished, 0);
        let error = Thread::finish(thread(w), record(w, who), to_word((*w).word));
        ((*w).starve_after, (*w).starve_times) = before;
        check(w, who, "refused though no memory is needed", needs_none as usize, 0);
        refused(w, me, error);
    }
}

/// A record as new, with or without a lent buffer.
unsafe fn prepare_record(w: W, who: usize, lend: u16) {
    unsafe {
        let flow = &mut (*w).flows[who];
        let lend = if lend == 0 && (*w).host.pool.is_null() { u16::MAX } else { lend };
        if lend != 0 && flow.lent == 0 {
            let host = &(*w).host;
            flow.lent = (lend as usize).min(host.lend_size) & !(STACK_ALIGN - 1);
            if flow.lent != 0 {
                record(w, who).write(Greenlet::new());
                (*record(w, who)).lend_buffer(host.lend.add(who * host.lend_size), flow.lent);
            }
        }
    }
}

/// Notes what the model says of a switch that is about to be made.
unsafe fn depart(w: W, me: usize, who: usize, leave: Leave, address: usize) {
    unsafe {
        (*w).moves_address = address;
        (*w).moves =
            address != 0 && Thread::would_move(thread(w), record(w, who), to_word(address));
        (*w).words += 1;
        (*w).word = (*w).words << 4 | 5;
        (*w).starved = false;
        // The frames from the level that asks for the switch up do not change until it goes on.
        frames_from(w, me, address);
        (*w).previous = me;
        (*w).running = who;
        (*w).leave = leave;
        (*w).begins = false;
    }
}

/// SPARC keeps what belongs to the newest frames in register windows until it runs out of them, so those frames change as
/// calls are made below. No processor has more windows than these calls: after them the frames are what they will stay.
#[inline(never)]
fn spill_windows(calls: usize) -> usize {
    let below = if calls == 0 { 0 } else { spill_windows(black_box(calls - 1)) };
    black_box(below + 1)
}

/// Notes what the frames of the running one are from an address on.
unsafe fn frames_from(w: W, me: usize, address: usize) {
    unsafe {
        if cfg!(target_arch = "sparc64") {
            spill_windows(32);
        }
        (*w).flows[me].frames = address;
        (*w).flows[me].sum = sum_in_place(address, end_of_frames(w, me));
    }
}

/// Where the frames of `who` end, as far as the program knows them: of main nothing above its first level.
unsafe fn end_of_frames(w: W, who: usize) -> usize {
    unsafe {
        let flow = &(*w).flows[who];
        let first = flow.locals[0].address + flow.locals[0].words * size_of::<usize>();
        if who == 0 { first } else { flow.stop }
    }
}

fn add_word(sum: usize, word: usize) -> usize {
    (sum ^ word).wrapping_mul(0x0100_0193).rotate_left(5)
}

unsafe fn sum_in_place(from: usize, to: usize) -> usize {
    let mut sum = 0;
    let mut at = from;
    while from != 0 && at < to {
        // SAFETY: frames of the running one, word by word.
        sum = add_word(sum, unsafe { ptr::with_exposed_provenance::<usize>(at).read_volatile() });
        at += size_of::<usize>();
    }
    sum
}

/// The same for a suspended one, wherever its bytes are.
unsafe fn sum_where_it_is(w: W, who: usize, from: usize, to: usize) -> usize {
    let mut sum = 0;
    let mut at = from;
    while from != 0 && at < to {
        let mut word = [0; size_of::<usize>()];
        unsafe {
            check(w, who, "read of a frame", (*record(w, who)).read(at, &mut word) as usize, 1)
        };
        sum = add_word(sum, usize::from_ne_bytes(word));
        at += word.len();
    }
    sum
}

/// Notes that the switch begins `who` on stack `on`.
unsafe fn begin(w: W, who: usize, on: usize, same: bool) {
    unsafe {
        (*w).begins = true;
        (*w).same_stack = same;
        (*w).flows[who].on = on;
        // A new one's stop is known only when it begins; see `would_move` in `arrive`.
        (*w).moves_address = 0;
    }
}

/// `me` goes on, or begins: what does the model say?
#[inline(never)]
unsafe fn arrive(w: W, me: usize, word: *mut c_void) {
    unsafe {
        if (*w).failure.is_some() {
            return;
        }
        (*w).arrivals += 1;
        let (previous, leave) = ((*w).previous, (*w).leave);
        check(w, me, "who runs", me, (*w).running);
        check(w, me, "word", word.addr(), (*w).word);
        let current = (Thread::current(thread(w)) == record(w, me)) as usize;
        check(w, me, "is the engine's current one", current, 1);
        check(w, me, "a refused request was not reported", (*w).starved as usize, 0);

        let mut stop_of_previous = 0;
        if previous != me {
            let flow = &mut (*w).flows[previous];
            if leave == Leave::Finished {
                stop_of_previous = flow.stop;
                *flow = Flow { lent: flow.lent, ..NEW };
            } else {
                flow.start = (*record(w, previous)).stretch().0;
                flow.saved = 0;
                stop_of_previous = flow.start;
                check(w, previous, "start is aligned", flow.start % STACK_ALIGN, 0);
                if flow.levels > 0 {
                    let deepest = flow.locals[flow.levels - 1].address;
                    check(
                        w,
                        previous,
                        "start is below the locals",
                        (flow.start < deepest) as usize,
                        1,
                    );
                }
            }
        }
        if (*w).begins {
            let on = (*w).flows[me].on;
            let stop = match on {
                // Not ever deeper: when less than a quarter of a separate stack is left, at its top again.
                _ if (*w).same_stack => {
                    let (bottom, top) = (*stack(w, on)).bounds();
                    let left = stop_of_previous.wrapping_sub(bottom);
                    let nearly_full = left < (top - bottom) / 4 && leave == Leave::Suspended;
                    if nearly_full { top } else { stop_of_previous }
                }
                // On the native stack, from elsewhere: below whoever is lowest there. Main is there.
                0 => lowest_in_place(w, 0).map_or(0, |who| (*w).flows[who].start),
                on => (*stack(w, on)).bounds().1,
            };
            let lent = (*w).flows[me].lent;
            (*w).flows[me] = Flow { active: true, on, stop, lent, ..NEW };
            (*w).begins = false;
        }
        // What lies below the stop of the one that runs and belongs to others is saved, once.
        let (on, stop) = ((*w).flows[me].on, (*w).flows[me].stop);
        (*w).flows[me].saved = 0;
        for (who, flow) in (*w).flows.iter_mut().enumerate() {
            if who != me && flow.active && flow.on == on {
                flow.saved = flow.saved.max(flow.stop.min(stop).saturating_sub(flow.start));
            }
        }
        // The frames of both, where they are now, are as they were left.
        let flow = (*w).flows[me];
        if flow.frames != 0 {
            let sum = sum_in_place(flow.frames, end_of_frames(w, me));
            check(w, me, "sum of the frames, restored", sum, flow.sum);
        }
        let flow = (*w).flows[previous];
        if previous != me && flow.active && flow.frames != 0 {
            let sum = sum_where_it_is(w, previous, flow.frames, end_of_frames(w, previous));
            check(w, previous, "sum of the frames, suspended", sum, flow.sum);
        }
        if previous != me && (*w).moves_address != 0 && (*w).flows[previous].active {
            let flow = (*w).flows[previous];
            let moved = flow.start + flow.saved > (*w).moves_address;
            check(w, previous, "would_move", (*w).moves as usize, moved as usize);
        }
        compare(w);
    }
}

/// Who of the suspended ones is the lowest that has bytes in place on a stack.
unsafe fn lowest_in_place(w: W, on: usize) -> Option<usize> {
    unsafe {
        (0..GREENLETS)
            .filter(|&who| {
                let flow = &(*w).flows[who];
                who != (*w).running
                    && flow.active
                    && flow.on == on
                    && flow.start + flow.saved < flow.stop
            })
            .min_by_key(|&who| (*w).flows[who].stop)
    }
}

/// The switch that was about to be made was refused: nothing has changed, and there was a reason.
unsafe fn refused(w: W, me: usize, error: Error) {
    unsafe {
        if (*w).failure.is_some() {
            return;
        }
        let (target, begins) = ((*w).running, (*w).begins);
        (*w).running = me;
        (*w).begins = false;
        check(w, me, "error", result_code(Some(error)), result_code(Some(Error::OutOfMemory)));
        // Either a request was refused, or what had to be saved does not fit into a lent buffer.
        let reason = (*w).starved || lent_is_too_small(w, me, target, begins);
        check(w, target, "out of memory without a reason", reason as usize, 1);
        compare(w);
    }
}

/// Whether a switch from `me` to `target` has to save more of somebody than fits into the buffer that this one was lent.
unsafe fn lent_is_too_small(w: W, me: usize, target: usize, begins: bool) -> bool {
    unsafe {
        let to = &(*w).flows[target];
        (0..GREENLETS).any(|who| {
            let flow = &(*w).flows[who];
            if !flow.active || flow.lent == 0 || who == target {
                return false;
            }
            if begins {
                return true; // where the target would have begun is not known
            }
            let start = match who {
                _ if who != me => flow.start,
                _ if (*w).leave == Leave::Finished => return false,
                // Somewhere below the frame that asked for the switch, if one did.
                _ if flow.frames == 0 => return true,
                _ => flow.frames.saturating_sub((*w).host.reserve),
            };
            let needed = flow.stop.min(to.stop).saturating_sub(start);
            flow.on == to.on && needed.max(flow.saved) > flow.lent
        })
    }
}

fn result_code(error: Option<Error>) -> usize {
    match error {
        None => 0,
        Some(Error::OutOfMemory) => 1,
        Some(Error::NotActive) => 2,
        Some(Error::AlreadyStarted) => 3,
        Some(Error::WrongThread) => 4,
        Some(Error::Running) => 5,
        Some(_) => 6,
    }
}

/// What must be refused is, with the right error.
unsafe fn misuse(w: W, me: usize, what: Misuse) {
    unsafe {
        let t = thread(w);
        let (native, foreign) = (stack(w, 0), Thread::native(&raw mut (*w).foreign));
        let foreign_main = &raw mut (*w).foreign_main;
        let word = to_word(77);
        let new = |who| pick(w, who, false).map(|who| record(w, who));
        let active = |who: u8| {
            let who = (0..GREENLETS).map(|i| (who as usize + i) % GREENLETS);
            let mut active = who.filter(|&who| (*w).flows[who].active);
            active.next().map(|who| record(w, who))
        };
        let (found, expected) = match what {
            Misuse::StartActive(who) => {
                let Some(who) = active(who) else { return };
                (Thread::start(t, who, native, body, word).err(), Some(Error::AlreadyStarted))
            }
            Misuse::StartOnForeignStack(who) => {
                let Some(who) = new(who) else { return };
                (Thread::start(t, who, foreign, body, word).err(), Some(Error::WrongThread))
            }
            Misuse::SwitchToInactive(who) => {
                let Some(who) = new(who) else { return };
                (Thread::switch(t, who, word).err(), Some(Error::NotActive))
            }
            Misuse::SwitchToForeign => {
                (Thread::switch_inline(t, foreign_main, word).err(), Some(Error::WrongThread))
            }
            Misuse::SwitchToSelf => {
                let result = Thread::switch(t, record(w, me), word);
                check(w, me, "switch to itself", result.map_or(0, |word| word.addr()), 77);
                let result = Thread::switch_inline(t, record(w, me), word);
                check(w, me, "switch to itself in line", result.map_or(0, |word| word.addr()), 77);
                (None, None)
            }
            Misuse::FinishIntoSelf => {
                (Some(Thread::finish(t, record(w, me), word)), Some(Error::Running))
            }
            Misuse::FinishIntoInactive(who) => {
                let Some(who) = new(who) else { return };
                (Some(Thread::finish(t, who, word)), Some(Error::NotActive))
            }
            Misuse::FinishIntoForeign => {
                (Some(Thread::finish(t, foreign_main, word)), Some(Error::WrongThread))
            }
            Misuse::FinishAndStartActive(who) => {
                let Some(who) = active(who) else { return };
                let error = Thread::finish_and_start(t, who, native, body, word);
                (Some(error), Some(Error::AlreadyStarted))
            }
            Misuse::FinishAndStartOnForeignStack(who) => {
                let Some(who) = new(who) else { return };
                let error = Thread::finish_and_start(t, who, foreign, body, word);
                (Some(error), Some(Error::WrongThread))
            }
            Misuse::ReleaseSelf => (Thread::release(t, record(w, me)).err(), Some(Error::Running)),
            Misuse::ReleaseForeign => {
                (Thread::release(t, foreign_main).err(), Some(Error::WrongThread))
            }
            Misuse::ReleaseInactive(who) => {
                let Some(who) = new(who) else { return };
                (Thread::release(t, who).err(), None)
            }
        };
        check(w, me, "error of a misuse", result_code(found), result_code(expected));
        check(
            w,
            me,
            "needs_no_memory of a foreign one",
            Thread::needs_no_memory(t, foreign_main) as usize,
            0,
        );
    }
}

/// Compares the engine with the model, and every pattern with what it should be.
#[inline(never)]
unsafe fn compare(w: W) {
    unsafe {
        let me = (*w).running;
        let mut occupied = [false; STACKS];
        for who in 0..GREENLETS {
            let (flow, greenlet) = ((*w).flows[who], &*record(w, who));
            check(w, who, "active", greenlet.is_active() as usize, flow.active as usize);
            let owner = if flow.active { thread(w) } else { ptr::null_mut() };
            check(w, who, "owner", Thread::of(greenlet).addr(), owner.addr());
            if flow.lent != 0 {
                check(w, who, "capacity of a lent buffer", greenlet.capacity(), flow.lent);
            }
            if !flow.active {
                check(w, who, "stack of an inactive one", greenlet.stack().addr(), 0);
                check(w, who, "saved of an inactive one", greenlet.saved(), 0);
                if flow.lent == 0 {
                    check(w, who, "capacity of an inactive one", greenlet.capacity(), 0);
                }
                continue;
            }
            check(w, who, "stack", greenlet.stack().addr(), stack(w, flow.on).addr());
            check(w, who, "stop", greenlet.stretch().1, flow.stop);
            if who == me {
                occupied[flow.on] = true;
                check(w, who, "saved of the running one", greenlet.saved(), 0);
                for local in &flow.locals[..flow.levels] {
                    let words = ptr::with_exposed_provenance::<usize>(local.address);
                    for i in 0..local.words {
                        let word = words.add(i).read_volatile();
                        check(w, who, "word in place", word, pattern(local.seed, i));
                    }
                }
                continue;
            }
            check(w, who, "start", greenlet.stretch().0, flow.start);
            check(w, who, "saved", greenlet.saved(), flow.saved);
            let fits = (*greenlet).saved() <= (*greenlet).capacity();
            check(w, who, "saved is at most the capacity", fits as usize, 1);
            if flow.start + flow.saved < flow.stop {
                occupied[flow.on] = true;
            }
            if (*w).failure.is_some() {
                return;
            }
            look_inside(w, who, &flow);
        }
        for (on, expected) in occupied.iter().enumerate() {
            let found = (*stack(w, on)).is_occupied();
            check(w, on, "stack is occupied", found as usize, *expected as usize);
        }
        let above = lowest_in_place(w, (*w).flows[me].on);
        let expected = above.map_or(ptr::null_mut(), |above| record(w, above));
        check(w, me, "the one above", Thread::above(record(w, me)).addr(), expected.addr());
    }
}

/// Reads the patterns of a suspended one at their old addresses.
unsafe fn look_inside(w: W, who: usize, flow: &Flow) {
    unsafe {
        let greenlet = &*record(w, who);
        for local in &flow.locals[..flow.levels] {
            let len = local.words * size_of::<usize>();
            let buffer = &mut (&mut (*w).buffer)[..len];
            buffer.fill(0);
            check(w, who, "read", greenlet.read(local.address, buffer) as usize, 1);
            let words = buffer.as_ptr().cast::<usize>();
            for i in 0..local.words {
                let word = words.add(i).read_unaligned();
                check(w, who, "word read", word, pattern(local.seed, i));
            }
            // One byte in the middle, and how far it lies together with its neighbours.
            let address = local.address + len / 2;
            let Some((at, together)) = greenlet.locate(address) else {
                check(w, who, "locate", 0, 1);
                continue;
            };
            check(w, who, "byte located", at.read() as usize, buffer[len / 2] as usize);
            let edge =
                if address < flow.start + flow.saved { flow.start + flow.saved } else { flow.stop };
            check(w, who, "bytes together", together, edge.wrapping_sub(address));
        }
        // Nothing outside the stretch.
        check(w, who, "locate below", greenlet.locate(flow.start - 1).is_some() as usize, 0);
        check(w, who, "locate above", greenlet.locate(flow.stop).is_some() as usize, 0);
        let two = &mut (&mut (*w).buffer)[..2];
        check(w, who, "read across the stop", greenlet.read(flow.stop - 1, two) as usize, 0);
        check(w, who, "read across the start", greenlet.read(flow.start - 1, two) as usize, 0);
    }
}

/// The engine's memory: blocks of one size. A block that is resized always moves, and what it was is overwritten.
unsafe extern "C" fn resize(ctx: *mut c_void, block: *mut u8, old: usize, new: usize) -> *mut u8 {
    const POISON: u8 = 0xDB;
    unsafe {
        let w: W = ctx.cast();
        let (pool, size) = ((*w).host.pool, (*w).host.block_size);
        let mut from = BLOCKS;
        check(
            w,
            0,
            "a block is null exactly when its size is 0",
            block.is_null() as usize,
            (old == 0) as usize,
        );
        if !block.is_null() {
            from = block.offset_from(pool) as usize / size;
            let known = from < BLOCKS && (*w).in_use[from] && (*w).sizes[from] == old;
            if !check(w, 0, "a block is known, with its size", known as usize, 1) {
                return ptr::null_mut();
            }
        }
        let mut to = BLOCKS;
        if new != 0 {
            let refuse = if (*w).starve_after > 0 {
                (*w).starve_after -= 1;
                false
            } else {
                let refuse = (*w).starve_times > 0;
                (*w).starve_times -= refuse as usize;
                refuse
            };
            to = (0..BLOCKS).find(|&i| !(*w).in_use[i]).unwrap_or(BLOCKS);
            if refuse || new > size || to == BLOCKS {
                (*w).starved |= new > old;
                return ptr::null_mut();
            }
            ((*w).in_use[to], (*w).sizes[to]) = (true, new);
            ptr::write_bytes(pool.add(to * size), POISON, new);
            if old != 0 {
                ptr::copy_nonoverlapping(block, pool.add(to * size), old.min(new));
            }
        }
        if from < BLOCKS {
            ptr::write_bytes(block, POISON, old);
            (*w).in_use[from] = false;
        }
        if to < BLOCKS { pool.add(to * size) } else { ptr::null_mut() }
    }
}

/// A small generator of random numbers and operations.
#[derive(Clone, Copy)]
pub struct Random(pub u32);

impl Random {
    fn below(&mut self, n: u32) -> u32 {
        // xorshift32; never 0.
        let mut x = self.0 | (self.0 == 0) as u32;
        x ^= x << 13;
        x ^= x >> 17;
        x ^= x << 5;
        self.0 = x;
        (x >> 8) % n
    }

    pub fn op(&mut self) -> Op {
        let who = self.below(GREENLETS as u32) as u8;
        let on = self.below(STACKS as u32) as u8;
        match self.below(100) {
            0..17 => {
                let lend = if self.below(6) == 0 { 64 + self.below(4000) as u16 } else { 0 };
                Op::Start { who, on, lean: self.below(3) == 0, lend }
            }
            17..52 => Op::Switch { who, inline: self.below(2) == 1 },
            52..57 => Op::Finish { who },
            57..58 => Op::FinishAbove,
            58..61 => Op::FinishAndStart { who, on },
            61..63 => Op::Release { who },
            63..80 => Op::Deeper { size: self.below(4) as u8 },
            80..90 => Op::Shallower,
            90..94 => Op::Starve { after: self.below(3) as u8, times: self.below(3) as u8 },
            _ => Op::Misuse(Misuse::of_kind(self.below(Misuse::KINDS as u32) as u8, who)),
        }
    }
}
