//! First stop: `walk` is an ordinary recursive function with a callback. As the body of a generator the same
//! function becomes an iterator, from any depth, and stops where the one who asks stops.

use crate::show::{line, note, span};
use crate::support::number;
use greenlet::{Generator, Yielder};
use std::fs::{self, ReadDir};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// Something that the walk has come across.
pub struct Entry {
    pub path: PathBuf,
    /// How many directories lie between it and the root; 0 for what is in the root itself.
    pub depth: usize,
    pub kind: Kind,
}

pub enum Kind {
    Directory,
    /// With its size.
    File(u64),
    /// A symbolic link, a device, …
    Other,
    /// Neither it nor what is in it could be read.
    Unreadable(io::Error),
}

/// Calls `found` for everything below `directory`, each directory before what is in it.
fn walk(directory: &Path, depth: usize, found: &mut dyn FnMut(Entry)) {
    let unreadable = |why| Entry { path: directory.to_owned(), depth, kind: Kind::Unreadable(why) };
    let entries = match Open::new(directory) {
        Ok(entries) => entries,
        Err(why) => return found(unreadable(why)),
    };
    for entry in entries {
        let entry = match entry {
            Ok(entry) => entry,
            Err(why) => return found(unreadable(why)),
        };
        let path = entry.path();
        match entry.metadata() {
            Err(why) => found(Entry { path, depth, kind: Kind::Unreadable(why) }),
            Ok(data) if data.is_dir() => {
                found(Entry { path: path.clone(), depth, kind: Kind::Directory });
                walk(&path, depth + 1, found);
            }
            Ok(data) if data.is_file() => {
                found(Entry { path, depth, kind: Kind::File(data.len()) });
            }
            Ok(_) => found(Entry { path, depth, kind: Kind::Other }),
        }
    }
}

/// The same walk as an iterator: all that it takes.
fn entries(directory: &Path) -> Generator<Entry> {
    let directory = directory.to_owned();
    // SAFETY: nothing outside points into the frames of `walk`.
    unsafe {
        Generator::new(move |out: &Yielder<Entry>| walk(&directory, 0, &mut |e| out.yield_(e)))
    }
}

/// An open directory, counted, so that we can see when it is closed.
struct Open(ReadDir);

static OPEN: AtomicUsize = AtomicUsize::new(0);

impl Open {
    fn new(path: &Path) -> io::Result<Open> {
        let open = Open(fs::read_dir(path)?);
        OPEN.fetch_add(1, Relaxed);
        Ok(open)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        OPEN.fetch_sub(1, Relaxed);
    }
}

impl Iterator for Open {
    type Item = io::Result<fs::DirEntry>;
    fn next(&mut self) -> Option<Self::Item> {
        self.0.next()
    }
}

/// Shows it, and hands on what was found.
pub fn stop(directory: &Path) -> Vec<Entry> {
    // A few, from as deep as we find one.
    let begin = Instant::now();
    let mut some = entries(directory);
    let mut seen = 0;
    let deep = some.by_ref().inspect(|_| seen += 1).find(|entry| entry.depth >= 2);
    let time = begin.elapsed();
    match deep {
        Some(entry) => {
            let path = entry.path.strip_prefix(directory).unwrap_or(&entry.path).display();
            line(time, &format!("the first that is three levels down, entry {seen}: {path}"));
            let open = OPEN.load(Relaxed);
            note(&format!(
                "now the walk is suspended in its recursion, with {open} directories open"
            ));
        }
        None => line(time, &format!("nothing is three levels down, in {seen} entries")),
    }
    let begin = Instant::now();
    drop(some);
    let closed = if cfg!(panic = "abort") {
        "dropped; with panic = \"abort\" its frames are leaked, and they stay open"
    } else {
        assert_eq!(OPEN.load(Relaxed), 0);
        "dropped: its frames are unwound, the directories are closed"
    };
    line(begin.elapsed(), closed);

    // All of them, in both ways, a few times in turn: what matters is the best, with the directories in the system's cache.
    let (mut all, mut pushed, mut pulled) = (Vec::new(), Duration::MAX, Duration::MAX);
    let mut early = Duration::MAX;
    let (began, mut rounds) = (Instant::now(), 0);
    let (bytes, deepest) = loop {
        let begin = Instant::now();
        all.clear();
        walk(directory, 0, &mut |entry| all.push(entry));
        pushed = pushed.min(begin.elapsed());

        let (mut bytes, mut deepest) = (0, 0);
        let mut first = None;
        let begin = Instant::now();
        for entry in entries(directory) {
            first.get_or_insert_with(|| begin.elapsed());
            deepest = deepest.max(entry.depth + 1);
            bytes += if let Kind::File(size) = entry.kind { size } else { 0 };
        }
        pulled = pulled.min(begin.elapsed());
        early = early.min(first.unwrap_or_default());
        rounds += 1;
        let spent = began.elapsed();
        if spent > Duration::from_secs(5) || rounds > 1 && spent > Duration::from_millis(200) {
            break (bytes, deepest);
        }
    };
    let count = number(all.len() as u64);
    line(
        pushed,
        &format!("all {count} entries, by the callback into a vector: nothing before the end"),
    );
    line(pulled, &format!("all of them from the iterator: the first after {}", span(early)));
    note(&format!("({} bytes in files, {deepest} levels)", number(bytes)));
    let failed = |entry: &'_ &Entry| matches!(entry.kind, Kind::Unreadable(_));
    for entry in all.iter().filter(failed).take(3) {
        if let Kind::Unreadable(why) = &entry.kind {
            note(&format!("not readable: {}: {why}", entry.path.display()));
        }
    }
    match all.iter().filter(failed).count() {
        0..=3 => {}
        n => note(&format!("and {} more that are not readable", n - 3)),
    }

    // Two at once take turns on one stack.
    let (mut ours, mut theirs) = (entries(directory), entries(directory));
    let alone = ours.next().map(|_| ours.greenlet().saved_bytes());
    let _ = theirs.next();
    let shared = ours.greenlet().saved_bytes();
    if let Some(alone) = alone {
        note(&format!(
            "suspended, the only one: {alone} bytes of its stack are copied to the heap;"
        ));
        note(&format!("when a second walk has run where it lay: {shared}"));
    }
    let begin = Instant::now();
    let same = ours.zip(theirs).all(|(a, b)| a.path == b.path);
    let same = if same { "found the same" } else { "differ: somebody is writing there" };
    line(begin.elapsed(), &format!("two walks in step, entry by entry: they {same}"));
    all
}

/// What was found, as one JSON text: directories are objects with `entries`. At most as much as can be shown in a moment.
pub fn as_json(directory: &Path, all: &[Entry]) -> String {
    let all = &all[..all.len().min(10_000)];
    let mut text = String::from("{\"name\":");
    quote(&directory.to_string_lossy(), &mut text);
    text.push_str(",\"entries\":[");
    let (mut depth, mut comma) = (0, false);
    for entry in all.iter().filter(|entry| !matches!(entry.kind, Kind::Unreadable(_))) {
        while depth > entry.depth {
            text.push_str("]}");
            (depth, comma) = (depth - 1, true);
        }
        if comma {
            text.push(',');
        }
        text.push_str("\n{\"name\":");
        quote(&entry.path.file_name().unwrap_or_default().to_string_lossy(), &mut text);
        comma = true;
        match entry.kind {
            Kind::Directory => {
                text.push_str(",\"entries\":[");
                (depth, comma) = (depth + 1, false);
            }
            Kind::File(size) => text.push_str(&format!(",\"size\":{size}}}")),
            Kind::Other | Kind::Unreadable(_) => text.push_str(",\"size\":null}"),
        }
    }
    text.push_str(&"]}".repeat(depth + 1));
    text
}

fn quote(word: &str, text: &mut String) {
    text.push('"');
    for character in word.chars() {
        match character {
            '"' | '\\' => text.extend(['\\', character]),
            // Escaped though they need not be, so that the parser has pairs to put together.
            '\0'..' ' | '\u{10000}'.. => {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    text.push_str(&format!("\\u{unit:04x}"));
                }
            }
            _ => text.push(character),
        }
    }
    text.push('"');
}
