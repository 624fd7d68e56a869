//! Generators in generators: recursive searches whose answers are taken one at a time, and lazy streams made of streams.
//!
//! No level passes on what the level below has found: a generator yields from any depth of calls. (`same_fringe` has
//! the walk over trees.)

use greenlet::{Generator, Yielder};
use std::cell::Cell;
use std::rc::Rc;
use std::time::Instant;

/// # Safety
///
/// None here: every closure of this program owns what it uses, and nothing outside points into its frames.
fn generator<T: 'static>(body: impl FnOnce(&Yielder<T>) + 'static) -> Generator<T> {
    // SAFETY: as said above.
    unsafe { Generator::new(body) }
}

/// Places a queen in each row below, in every way that goes. `found` are the columns of those above.
fn queens(size: usize, found: &mut Vec<usize>, out: &Yielder<Vec<usize>>) {
    let row = found.len();
    if row == size {
        return out.yield_(found.clone());
    }
    for column in 0..size {
        let free = |(above, taken): (usize, &usize)| {
            *taken != column && taken.abs_diff(column) != row - above
        };
        if found.iter().enumerate().all(free) {
            found.push(column);
            queens(size, found, out);
            found.pop();
        }
    }
}

/// By recursion alone: one generator, as deep as there are items.
fn permute(items: &mut Vec<u8>, from: usize, out: &Yielder<Vec<u8>>) {
    if from == items.len() {
        return out.yield_(items.clone());
    }
    for index in from..items.len() {
        items[from..=index].rotate_right(1);
        permute(items, from + 1, out);
        items[from..=index].rotate_left(1);
    }
}

/// The same, nested: each level is a generator that drives another one for what remains.
fn nested(items: Vec<u8>) -> Generator<Vec<u8>> {
    generator(move |out| {
        if items.is_empty() {
            return out.yield_(Vec::new());
        }
        for index in 0..items.len() {
            let mut rest = items.clone();
            let first = rest.remove(index);
            for permutation in nested(rest) {
                out.yield_([&[first][..], &permutation].concat());
            }
        }
    })
}

/// Two ascending streams as one, each number once.
fn merge(left: Generator<u64>, right: Generator<u64>) -> Generator<u64> {
    generator(move |out| {
        let (mut left, mut right) = (left.peekable(), right.peekable());
        loop {
            let next = match (left.peek(), right.peek()) {
                (Some(a), Some(b)) => *a.min(b),
                (Some(a), None) | (None, Some(a)) => *a,
                (None, None) => return,
            };
            left.next_if_eq(&next);
            right.next_if_eq(&next);
            out.yield_(next);
        }
    })
}

/// The numbers that no prime but 2, 3 and 5 divides, in order and without end: the stream of them, twice, three times and five times, merged.
/// It is made from itself, so it is as deep as somebody asks, and no deeper.
fn hamming(depth: u32) -> Generator<u64> {
    generator(move |out| {
        out.yield_(1);
        if depth == 0 {
            return;
        }
        let times = move |factor: u64| {
            generator(move |out| hamming(depth - 1).for_each(|n| out.yield_(n * factor)))
        };
        merge(merge(times(2), times(3)), times(5)).for_each(|n| out.yield_(n));
    })
}

fn main() {
    let all = || generator(|out| queens(8, &mut Vec::new(), out));
    println!("eight queens: {} ways, the first is {:?}", all().count(), all().next().unwrap());
    assert_eq!(all().count(), 92);

    // A search that is given up: what its frames own is dropped, from the deepest call up.
    struct Told(Rc<Cell<bool>>);
    impl Drop for Told {
        fn drop(&mut self) {
            self.0.set(true);
        }
    }
    let told = Rc::new(Cell::new(false));
    let (begin, tell) = (Instant::now(), told.clone());
    let mut large = generator(move |out| {
        let _told = Told(tell);
        queens(16, &mut Vec::new(), out);
    });
    let found = large.nth(9).unwrap();
    assert!(!told.get());
    drop(large);
    assert!(told.get());
    println!(
        "sixteen queens, the tenth way, in {:?}, and no search for the rest: {found:?}",
        begin.elapsed()
    );

    const ITEMS: u8 = 7;
    let begin = Instant::now();
    let mut recursive: Vec<_> =
        generator(|out| permute(&mut (0..ITEMS).collect(), 0, out)).collect();
    let one = begin.elapsed();
    let begin = Instant::now();
    let tower: Vec<_> = nested((0..ITEMS).collect()).collect();
    println!(
        "{} permutations: by recursion in one generator {one:?}, by generators in generators {:?}",
        tower.len(),
        begin.elapsed()
    );
    assert!(tower.is_sorted() && tower.len() == 5040);
    recursive.sort();
    assert_eq!(recursive, tower);

    let streams: Vec<_> = (0..64)
        .map(|first| generator(move |out| (0..1000).for_each(|n| out.yield_(first + 64 * n))))
        .collect();
    let mut level = streams;
    while level.len() > 1 {
        let mut pairs = level.into_iter();
        level = Vec::new();
        while let Some(left) = pairs.next() {
            level.push(merge(left, pairs.next().unwrap()));
        }
    }
    let merged = level.pop().unwrap();
    assert!(merged.enumerate().all(|(index, n)| index as u64 == n));
    println!("64 streams merged by a tree of 63 generators, every number where it belongs");

    let numbers: Vec<_> = hamming(6).take_while(|n| *n <= 60).collect();
    println!("divided by 2, 3 and 5 only: {numbers:?}");
    let smooth = |mut n: u64| {
        for prime in [2, 3, 5] {
            while n.is_multiple_of(prime) {
                n /= prime;
            }
        }
        n == 1
    };
    assert_eq!(numbers, (1..=60).filter(|n| smooth(*n)).collect::<Vec<_>>());
}
