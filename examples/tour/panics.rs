//! Third stop: a panic that a greenlet does not catch goes on in its parent, and can be had there as a value.

use crate::show::{line, note};
use greenlet::{Greenlet, SwitchError, payload_text};
use std::panic;
use std::time::Instant;

/// Says when it is dropped.
struct Resource(&'static str);

impl Drop for Resource {
    fn drop(&mut self) {
        note(&format!("{} is dropped", self.0));
    }
}

/// Adds up numbers, recursively, and believes that they are numbers.
fn sum(words: &[&str]) -> u32 {
    let Some((first, rest)) = words.split_first() else { return 0 };
    let number: u32 = first.parse().unwrap_or_else(|why| panic!("{first:?}: {why}"));
    number + sum(rest)
}

/// Shows it.
pub fn stop() {
    if cfg!(panic = "abort") {
        note("this program was built with panic = \"abort\": a panic would end it");
        return;
    }
    // The hook runs where the panic happens, as ever.
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|info| {
        let line = info.location().map_or(0, |place| place.line());
        note(&format!("the panic hook: a panic in panics.rs, line {line}"));
    }));

    let begin = Instant::now();
    // SAFETY: nothing outside points into the frames of the two.
    let (child, grandchild) = unsafe {
        let grandchild = Greenlet::<(), u32>::new(|()| {
            let _resource = Resource("what the grandchild owns");
            sum(&["3", "5", "seven", "11"])
        });
        let inner = grandchild.clone();
        let child = Greenlet::<(), u32>::new(move |()| {
            let _resource = Resource("what the child owns");
            inner.switch(()) + 1
        });
        (child, grandchild)
    };
    grandchild.set_parent(&child).expect("no cycle");
    note("main switches to a child, that one to a grandchild, which panics in a recursion");
    let outcome = child.try_switch(());
    let time = begin.elapsed();
    panic::set_hook(hook);
    match outcome {
        Err(SwitchError::Thrown(payload)) => {
            line(time, &format!("main has it as a value: {}", payload_text(&payload)));
        }
        other => panic!("not thrown: {other:?}"),
    }
    assert!(child.is_finished() && grandchild.is_finished());
    note("both have finished");
}
