//! Second stop: the parser of `json` calls its reader and its callback. In a greenlet of its own both calls become
//! switches, and whoever is outside gives it chunks and takes events, in any order, whenever it likes.

use crate::json::{self, Event};
use crate::show::{line, note, span};
use crate::support::number;
use greenlet::Greenlet;
use std::io::{self, BufRead, Read};
use std::time::Instant;

/// What comes out of the parser.
pub enum Out {
    /// It needs a chunk to go on.
    Hungry,
    Event(Event),
    Done(Result<(), json::Error>),
}

/// A parser that never blocks: it is given chunks, and asked for what it has made of them.
struct Feed {
    /// Takes a chunk when it is hungry; what it is sent otherwise is empty.
    parser: Greenlet<Vec<u8>, Out>,
    next: Vec<u8>,
}

impl Feed {
    fn new() -> Feed {
        let outside = Greenlet::<Out, Vec<u8>>::current();
        let parse = move |first| {
            let reader = Chunks { chunk: first, used: 0, outside: outside.clone() };
            Out::Done(json::parse(reader, &mut |event| {
                outside.switch(Out::Event(event));
            }))
        };
        // SAFETY: nothing outside points into the parser's frames: chunks and events are moved.
        Feed { parser: unsafe { Greenlet::new(parse) }, next: Vec::new() }
    }

    /// Gives the parser its next chunk; an empty one is the end of the text.
    fn give(&mut self, chunk: &[u8]) {
        self.next = chunk.to_vec();
    }

    /// Lets the parser run until it has something to say.
    fn ask(&mut self) -> Out {
        self.parser.switch(std::mem::take(&mut self.next))
    }
}

/// The parser's reader. It "blocks" by going outside.
struct Chunks {
    chunk: Vec<u8>,
    used: usize,
    outside: Greenlet<Out, Vec<u8>>,
}

impl BufRead for Chunks {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.used == self.chunk.len() {
            self.chunk = self.outside.switch(Out::Hungry);
            self.used = 0;
        }
        Ok(&self.chunk[self.used..])
    }

    fn consume(&mut self, bytes: usize) {
        self.used += bytes;
    }
}

impl Read for Chunks {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let have = self.fill_buf()?;
        let n = have.len().min(buffer.len());
        buffer[..n].copy_from_slice(&have[..n]);
        self.consume(n);
        Ok(n)
    }
}

/// Parses `text`, cut into chunks of `size` bytes.
fn in_chunks(text: &[u8], size: usize, mut event: impl FnMut(Event)) -> Result<(), json::Error> {
    let mut feed = Feed::new();
    let mut chunks = text.chunks(size);
    loop {
        match feed.ask() {
            Out::Hungry => feed.give(chunks.next().unwrap_or_default()),
            Out::Event(e) => event(e),
            Out::Done(result) => return result,
        }
    }
}

/// Shows it on the listing of the first stop.
pub fn stop(listing: &str) {
    let text = listing.as_bytes();
    let begin = Instant::now();
    let mut whole = Vec::new();
    let result = json::parse(text, &mut |event| whole.push(event));
    let time = begin.elapsed();
    if let Err(why) = result {
        note(&format!("the listing as JSON is refused: {why}"));
        return;
    }
    line(
        time,
        &format!(
            "that listing as JSON, {} bytes at once: {} events",
            number(text.len() as u64),
            number(whole.len() as u64)
        ),
    );

    for size in [1, 2, 3, 7, 1000, 65_536] {
        let (mut events, mut right) = (0, true);
        let begin = Instant::now();
        let result = in_chunks(text, size, |event| {
            right &= whole.get(events) == Some(&event);
            events += 1;
        });
        let time = begin.elapsed();
        assert!(result.is_ok() && right && events == whole.len(), "{result:?}");
        let chunks = number(text.len().div_ceil(size) as u64);
        line(time, &format!("in {chunks} chunks of {size}: the same events"));
    }

    // The text ends too early: an ordinary error, from the depth of the recursion.
    let half = &text[..text.len() / 2];
    if let Err(why) = in_chunks(half, 4096, |_| {}) {
        note(&format!("half of it: {why}"));
    }

    // Nobody wants the rest.
    let begin = Instant::now();
    let mut feed = Feed::new();
    let mut files = 0;
    let mut rest = text;
    while files < 3 {
        match feed.ask() {
            Out::Hungry => {
                let (chunk, left) = rest.split_at(rest.len().min(64));
                feed.give(chunk);
                rest = left;
            }
            Out::Event(Event::Key(key)) if key == "size" => files += 1,
            Out::Event(_) => {}
            Out::Done(_) => break,
        }
    }
    let read = number((text.len() - rest.len()) as u64);
    drop(feed);
    note(&format!(
        "the first {files} files took {read} bytes and {}; the parser is dropped",
        span(begin.elapsed())
    ));
}
