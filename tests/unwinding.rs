//! Backtraces and panic messages: what is seen of a greenlet's frames ends at its bottom.
#![cfg(feature = "std")]

mod common;
use common::{Log, OnDrop, child, main, overwrite, spawn};
use greenlet::{AnyGreenlet, Greenlet};
use std::backtrace::Backtrace;
use std::hint::black_box;

/// The names of the functions in a backtrace, innermost first.
fn functions(backtrace: &str) -> Vec<&str> {
    frames(backtrace).into_iter().map(|(name, _)| name).collect()
}

/// Names of functions and where they are in the source, innermost first. Some symbolizers give a name without its path
/// (`begin`), which says little without the place.
fn frames(backtrace: &str) -> Vec<(&str, &str)> {
    let number_and_name = |line: &'_ str| -> Option<usize> {
        let (number, _) = line.trim_start().split_once(": ")?;
        number.parse::<usize>().is_ok().then_some(line.find(": ")? + 2)
    };
    let mut frames = Vec::new();
    for line in backtrace.lines() {
        if let Some(at) = number_and_name(line) {
            frames.push((line[at..].trim(), ""));
        } else if let (Some(place), Some(last)) =
            (line.trim_start().strip_prefix("at "), frames.last_mut())
        {
            last.1 = place;
        }
    }
    // Some unwinders call the end a frame, too, with nothing as its address.
    frames.retain(|(name, _)| !name.starts_with("0x0 "));
    frames
}

/// Is the frame one of this function, of this file in `src/`?
fn is(frame: &(&str, &str), file: &str, function: &str) -> bool {
    let (name, place) = frame;
    let path = format!("{}::{function}", file.replace('/', "::"));
    let name = name.rsplit(" - ").next().unwrap_or_default();
    let bare = name.split(['<', ':']).next() == Some(function);
    name.contains(&path) || bare && place.replace('\\', "/").contains(&format!("src/{file}.rs:"))
}

/// The last function is one of those that lie at every greenlet's bottom.
#[track_caller]
fn ends_at_the_bottom(backtrace: &str) {
    let frames = frames(backtrace);
    assert!(frames.len() > 2, "{backtrace}");
    let last = frames.last().unwrap();
    let bottom = ["greenlet_switch", "greenlet_jump"].iter().any(|name| last.0.contains(name))
        // A function whose symbol is a descriptor has no name here.
        || last.0.ends_with("<unknown>") && last.1.replace('\\', "/").contains("/arch/")
        || is(last, "raw/thread", "begin")
        || is(last, "switch", "run");
    assert!(bottom, "ends at {last:?}:\n{backtrace}");
    assert!(frames.iter().any(|frame| is(frame, "switch", "run")), "no run:\n{backtrace}");
}

#[track_caller]
fn has(backtrace: &str, name: &str) {
    assert!(functions(backtrace).iter().any(|f| f.contains(name)), "no {name}:\n{backtrace}");
}

#[track_caller]
fn has_not(backtrace: &str, name: &str) {
    assert!(!functions(backtrace).iter().any(|f| f.contains(name)), "has {name}:\n{backtrace}");
}

/// The greenlet's side.
#[inline(never)]
fn in_the_greenlet(_: ()) -> String {
    let text = Backtrace::force_capture().to_string();
    black_box(text)
}

/// The same after it has been suspended, `depth` calls down.
#[inline(never)]
fn suspended_in_the_greenlet(depth: usize) -> String {
    let text = if black_box(depth) == 0 {
        main().switch(());
        Backtrace::force_capture().to_string()
    } else {
        suspended_in_the_greenlet(depth - 1)
    };
    black_box(text)
}

/// The other side: whoever runs the greenlet, from some calls down.
#[inline(never)]
fn on_the_other_side(depth: usize, run: &dyn Fn() -> String) -> String {
    let text = if black_box(depth) == 0 { run() } else { on_the_other_side(depth - 1, run) };
    black_box(text)
}

#[test]
fn a_backtrace_in_main_shows_main() {
    let text = on_the_other_side(2, &|| in_the_greenlet(()));
    has(&text, "on_the_other_side");
    has(&text, "in_the_greenlet");
    has_not(&text, "switch::run");
}

#[test]
fn a_backtrace_in_a_greenlet_ends_at_its_bottom() {
    let child = spawn(in_the_greenlet);
    let text = on_the_other_side(3, &|| child.switch(()));
    has(&text, "in_the_greenlet");
    has_not(&text, "on_the_other_side");
    ends_at_the_bottom(&text);
}

#[test]
fn a_backtrace_in_a_greenlet_of_a_greenlet_ends_at_its_own_bottom() {
    let outer = spawn(|()| {
        on_the_other_side(3, &|| {
            let inner = spawn(in_the_greenlet);
            inner.switch(())
        })
    });
    let text = outer.switch(());
    has(&text, "in_the_greenlet");
    has_not(&text, "on_the_other_side");
    ends_at_the_bottom(&text);
}

#[test]
fn a_backtrace_in_a_resumed_greenlet_shows_all_its_frames_and_ends_at_its_bottom() {
    let child = spawn(|()| suspended_in_the_greenlet(9));
    child.typed::<(), ()>().switch(());
    overwrite(60);
    assert!(child.saved_bytes() > 0);
    let text = on_the_other_side(5, &|| child.switch(()));
    let frames =
        functions(&text).iter().filter(|f| f.contains("suspended_in_the_greenlet")).count();
    // An optimizer may merge some, and inlined ones are told apart by debug information only.
    assert!((1..=11).contains(&frames), "{frames} frames:\n{text}");
    has_not(&text, "on_the_other_side");
    ends_at_the_bottom(&text);
}

#[test]
fn a_backtrace_ends_at_the_bottom_when_the_frames_above_have_been_overwritten() {
    // The inner greenlet begins below the frames of the outer one, which then goes up, and others come down there.
    let inner_of = |()| {
        let inner = spawn_for_main();
        on_the_other_side(20, &|| {
            inner.typed::<(), ()>().switch(());
            String::new()
        });
        inner
    };
    let outer = spawn(inner_of);
    let inner = outer.typed::<(), Greenlet<(), String>>();
    // The inner one suspends to main; main goes on in the outer one, which returns it.
    outer.typed::<(), ()>().switch(());
    let inner = inner.switch(());
    assert!(outer.is_finished() && inner.is_active());
    inner.set_parent(&AnyGreenlet::main()).unwrap();
    overwrite(100);
    let text = inner.switch(());
    has(&text, "suspended_in_the_greenlet");
    has_not(&text, "on_the_other_side");
    ends_at_the_bottom(&text);
}

fn spawn_for_main() -> Greenlet<(), String> {
    common::spawn_under(&AnyGreenlet::main(), |()| suspended_in_the_greenlet(3))
}

#[test]
fn destructors_run_from_the_innermost_frame_outwards() {
    #[inline(never)]
    fn nested(depth: usize, log: &Log<usize>) {
        let _guard = OnDrop(|| log.push(depth));
        if black_box(depth) == 0 {
            main().switch(());
        } else {
            nested(depth - 1, log);
        }
    }
    let log = Log::<usize>::new();
    let child = spawn({
        let log = log.clone();
        move |()| nested(10, &log)
    });
    child.switch(());
    overwrite(50);
    child.kill().unwrap();
    assert_eq!(log.take(), (0..=10).collect::<Vec<_>>());
}

#[inline(never)]
fn panics_in_the_greenlet(_: ()) {
    panic!("the message of the panic");
}

/// The line of that panic, for where a function whose symbol is a descriptor has no name (64-bit PowerPC, ELFv1).
const PANICS_AT: u32 = line!() - 4;

/// Panics in a greenlet of a greenlet, and lets main catch it.
fn program(_: &()) {
    let worker = std::thread::Builder::new().name("worker".into());
    let run = || {
        on_the_other_side(2, &|| {
            let outer = spawn(|()| spawn(panics_in_the_greenlet).switch(()));
            let payload = common::thrown(outer.try_switch(()));
            greenlet::payload_text(&payload).to_string()
        })
    };
    println!("caught: {}", worker.spawn(run).unwrap().join().unwrap());
}

#[test]
fn a_panics_message_is_printed_once_with_its_place() {
    let ended = child::run("a_panics_message_is_printed_once_with_its_place", || program(&()));
    assert_eq!(ended.code(), Some(0), "{ended:?}");
    assert!(ended.stdout.contains("caught: the message of the panic\n"), "{ended:?}");
    let lines: Vec<&str> = ended.stderr.lines().filter(|line| !line.is_empty()).collect();
    let [place, message, note] = lines[..] else { panic!("{ended:?}") };
    assert!(place.starts_with("thread 'worker' ") || place.starts_with("thread 'worker'("));
    let file = place.contains("tests/unwinding.rs:") || place.contains("tests\\unwinding.rs:");
    assert!(place.contains("panicked at ") && file, "{place}");
    assert_eq!(message, "the message of the panic");
    assert!(note.starts_with("note: run with `RUST_BACKTRACE=1`"), "{note}");
}

#[test]
fn a_panics_backtrace_ends_at_the_greenlets_bottom() {
    let name = "a_panics_backtrace_ends_at_the_greenlets_bottom";
    let ended = child::run_with(name, &[("RUST_BACKTRACE", "full")], || program(&()));
    assert_eq!(ended.code(), Some(0), "{ended:?}");
    assert_eq!(ended.stderr.matches("the message of the panic").count(), 1, "{ended:?}");
    assert_eq!(ended.stderr.matches("stack backtrace:").count(), 1, "{ended:?}");
    let place = format!("unwinding.rs:{PANICS_AT}:");
    let is_the_panics = |frame: &(&str, &str)| {
        frame.0.contains("panics_in_the_greenlet") || frame.1.contains(&place)
    };
    assert!(frames(&ended.stderr).iter().any(is_the_panics), "{ended:?}");
    has_not(&ended.stderr, "on_the_other_side");
    ends_at_the_bottom(&ended.stderr);
}

#[test]
fn a_panic_that_nobody_catches_ends_the_thread_and_is_printed_once() {
    let name = "a_panic_that_nobody_catches_ends_the_thread_and_is_printed_once";
    let ended = child::run(name, || {
        let _: () = spawn(|()| spawn(panics_in_the_greenlet).switch(())).switch(());
    });
    assert_eq!(ended.code(), Some(101), "{ended:?}");
    assert_eq!(ended.stderr.matches("the message of the panic").count(), 1, "{ended:?}");
}
