//! `timeline [FILE]`: who ran when, recorded by the trace hook, as a trace file for Perfetto (ui.perfetto.dev) or chrome://tracing.
//!
//! Each tasklet is a track; a slice is the time from one switch to the next. Without a file it is written to the temporary folder.

use greenlet::tasklet::{self, Channel};
use greenlet::{EventKind, set_trace};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::rc::Rc;
use std::time::Instant;

/// From when to when one ran, in nanoseconds, and what it was continued by.
struct Slice {
    track: u64,
    from: u128,
    to: u128,
    thrown: bool,
}

/// What has been recorded.
struct Timeline {
    begin: Instant,
    slices: Vec<Slice>,
    names: BTreeMap<u64, String>,
    /// Who runs, since when, and whether something was thrown into it.
    running: (u64, u128, bool),
}

/// Records every switch until the returned closure is called.
fn record() -> impl FnOnce() -> Timeline {
    let track = |names: &mut BTreeMap<u64, String>| {
        let tasklet = tasklet::current();
        let number = tasklet.number();
        names.entry(number).or_insert_with(|| {
            if tasklet.is_main() { "main".into() } else { tasklet.name().unwrap_or_default() }
        });
        number
    };
    let mut names = BTreeMap::new();
    let running = (track(&mut names), 0, false);
    let timeline = Timeline { begin: Instant::now(), slices: Vec::new(), names, running };
    let timeline = Rc::new(RefCell::new(timeline));
    let shared = timeline.clone();
    set_trace(Some(Box::new(move |event| {
        let timeline = &mut *shared.borrow_mut();
        let now = timeline.begin.elapsed().as_nanos();
        let thrown = event.kind == EventKind::Throw;
        let (before, from, by_throw) = timeline.running;
        timeline.slices.push(Slice { track: before, from, to: now, thrown: by_throw });
        timeline.running = (track(&mut timeline.names), now, thrown);
    })));
    move || {
        set_trace(None);
        let mut timeline = Rc::into_inner(timeline).expect("the hook is gone").into_inner();
        let (track, from, thrown) = timeline.running;
        let to = timeline.begin.elapsed().as_nanos();
        timeline.slices.push(Slice { track, from, to, thrown });
        timeline
    }
}

/// A string of JSON.
fn quoted(text: &str) -> String {
    let escaped: String = text
        .chars()
        .map(|c| match c {
            '"' | '\\' => format!("\\{c}"),
            c if c < ' ' => format!("\\u{:04x}", c as u32),
            c => c.to_string(),
        })
        .collect();
    format!("\"{escaped}\"")
}

/// The format of Chrome's trace events: complete events (`X`) on one track a tasklet, times in microseconds. What viewers call a process is the
/// thread here, and what they call its threads are its tasklets. They count from 1, since 0 is something else to them; the one that has the
/// number of its process is its main thread, as ours is.
fn json(timeline: &Timeline) -> String {
    let mut text = String::from("{\"displayTimeUnit\":\"ns\",\"traceEvents\":[\n");
    let thread = std::thread::current();
    let name = quoted(thread.name().unwrap_or("thread"));
    let meta = "\"ph\":\"M\",\"pid\":1";
    writeln!(text, "{{{meta},\"name\":\"process_name\",\"args\":{{\"name\":{name}}}}},").unwrap();
    for (number, name) in &timeline.names {
        let (tid, name) = (number + 1, quoted(name));
        let meta = format!("{meta},\"tid\":{tid}");
        writeln!(text, "{{{meta},\"name\":\"thread_name\",\"args\":{{\"name\":{name}}}}},")
            .unwrap();
        let sort = format!("\"args\":{{\"sort_index\":{number}}}");
        writeln!(text, "{{{meta},\"name\":\"thread_sort_index\",{sort}}},").unwrap();
    }
    for (index, slice) in timeline.slices.iter().enumerate() {
        let micros = |nanos: u128| nanos as f64 / 1000.0;
        let comma = if index + 1 == timeline.slices.len() { "" } else { "," };
        writeln!(
            text,
            "{{\"ph\":\"X\",\"pid\":1,\"tid\":{},\"ts\":{:.3},\"dur\":{:.3},\"name\":{},\"args\":{{\"by\":\"{}\"}}}}{comma}",
            slice.track + 1,
            micros(slice.from),
            micros(slice.to - slice.from),
            quoted(&timeline.names[&slice.track]),
            if slice.thrown { "throw" } else { "switch" }
        )
        .unwrap();
    }
    text.push_str("]}\n");
    text
}

/// Something to look at: two stages and a sink, and one that is killed.
fn program() {
    let (raw, cooked) = (Channel::<u64>::new(), Channel::<u64>::new());
    let (out, from, to, all) = (raw.clone(), raw, cooked.clone(), cooked);
    // SAFETY: here and below, nothing outside points into the closures' frames.
    let source = unsafe {
        tasklet::spawn(move || {
            (0..20).for_each(|n| out.send(n).unwrap());
            out.close();
        })
    };
    source.set_name("source");
    // SAFETY: as above.
    let cook = unsafe {
        tasklet::spawn(move || {
            for n in &from {
                let work =
                    (0..20_000 * (n % 4 + 1)).fold(n, |sum, i| sum ^ std::hint::black_box(i));
                to.send(work).unwrap();
            }
            to.close();
        })
    };
    cook.set_name("cook");
    // SAFETY: as above.
    let sink = unsafe { tasklet::spawn(move || all.iter().count()) };
    sink.set_name("sink");
    // SAFETY: as above.
    let idle = unsafe { tasklet::spawn(|| drop(tasklet::pause())) };
    idle.set_name("\"idle\"");
    assert_eq!(sink.join().unwrap(), 20);
    idle.kill().unwrap();
}

fn main() {
    let path = std::env::args().nth(1).map_or_else(
        || std::env::temp_dir().join(format!("greenlet-timeline-{}.json", std::process::id())),
        Into::into,
    );
    let stop = record();
    program();
    let timeline = stop();
    let text = json(&timeline);
    std::fs::write(&path, &text).unwrap();

    // Somebody runs at any time, and only one.
    let mut now = 0;
    for slice in &timeline.slices {
        assert!(slice.from == now && slice.to >= slice.from);
        now = slice.to;
    }
    let names: Vec<_> = timeline.names.values().map(String::as_str).collect();
    assert_eq!(names, ["main", "source", "cook", "sink", "\"idle\""]);
    assert!(timeline.slices.len() >= 45, "a switch for each value and stage at least");
    println!("{} slices of {} tasklets in {}", timeline.slices.len(), names.len(), path.display());
    for (number, name) in &timeline.names {
        let of = timeline.slices.iter().filter(|slice| slice.track == *number);
        let (count, time) = of.fold((0, 0), |(n, time), s| (n + 1, time + s.to - s.from));
        println!("  {name:<8} {count:>4} times, {:>8.1} µs", time as f64 / 1000.0);
    }
    if std::env::args().nth(1).is_none() {
        std::fs::remove_file(&path).unwrap();
        println!("(give a name to keep the file)");
    }
}
