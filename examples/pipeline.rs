//! A pipeline of tasklets over channels: the primes by a chain of sieves, a recursive tree walk, and workers that share a queue.
//!
//! Nobody yields: each tasklet runs until it has to wait for another.

use greenlet::tasklet::{self, Channel, Select, Tasklet};
use std::time::Instant;

/// # Safety
///
/// None here: every closure of this program owns what it uses, and nothing outside points into its frames.
fn spawn<R: 'static>(body: impl FnOnce() -> R + 'static) -> Tasklet<R> {
    // SAFETY: as said above.
    unsafe { tasklet::spawn(body) }
}

/// Passes on what `prime` does not divide.
fn sieve(prime: u32, numbers: &Channel<u32>, rest: &Channel<u32>) {
    for number in numbers {
        if number % prime != 0 && rest.send(number).is_err() {
            break;
        }
    }
    rest.close();
}

/// The primes up to `most`: one tasklet for each, at the end of the chain that the others are.
fn primes(most: u32) -> Vec<u32> {
    let mut numbers = Channel::new();
    let first = numbers.clone();
    spawn(move || {
        (2..=most).for_each(|number| first.send(number).unwrap());
        first.close();
    });
    let mut primes = Vec::new();
    while let Ok(prime) = numbers.receive() {
        primes.push(prime);
        let (from, to) = (numbers, Channel::new());
        numbers = to.clone();
        spawn(move || sieve(prime, &from, &to));
    }
    primes
}

enum Tree {
    Leaf(u64),
    Node(Vec<Tree>),
}

/// Recursive, and sends from any depth.
fn walk(tree: &Tree, out: &Channel<u64>) {
    match tree {
        Tree::Leaf(value) => out.send(*value).unwrap(),
        Tree::Node(children) => children.iter().for_each(|child| walk(child, out)),
    }
}

fn tree(depth: u32, next: &mut u64) -> Tree {
    if depth == 0 {
        *next += 1;
        return Tree::Leaf(*next);
    }
    Tree::Node((0..3).map(|_| tree(depth - 1, next)).collect())
}

/// Generators in generators, without a line that passes values up: each level sends to the same channel.
fn permutations(mut rest: Vec<u8>, taken: Vec<u8>, out: &Channel<Vec<u8>>) {
    if rest.is_empty() {
        out.send(taken).unwrap();
        return;
    }
    for index in 0..rest.len() {
        let one = rest.remove(index);
        permutations(rest.clone(), [&taken[..], &[one]].concat(), out);
        rest.insert(index, one);
    }
}

fn main() {
    let begin = Instant::now();
    let found = primes(3000);
    let text: Vec<_> = found.iter().take(8).map(u32::to_string).collect();
    println!("{} primes up to 3000: {} …; in {:?}", found.len(), text.join(", "), begin.elapsed());
    assert!(found.iter().all(|n| (2..*n).take_while(|d| d * d <= *n).all(|d| n % d != 0)));
    assert_eq!(found.len(), 430);

    let leaves = Channel::new();
    let out = leaves.clone();
    spawn(move || {
        walk(&tree(8, &mut 0), &out);
        out.close();
    });
    let count = leaves.iter().enumerate().map(|(n, leaf)| assert_eq!(n as u64 + 1, leaf)).count();
    println!("a tree of {count} leaves, walked in order");
    assert_eq!(count, 3_usize.pow(8));

    let all = Channel::new();
    let out = all.clone();
    spawn(move || {
        permutations((0..6).collect(), Vec::new(), &out);
        out.close();
    });
    let all: Vec<_> = all.iter().collect();
    assert!(all.is_sorted() && all.len() == 720);
    println!("{} permutations of 6, in order, from 6 nested calls", all.len());

    // Three workers, one queue, one place for the results; and a line to stop at.
    let (jobs, results, stop) =
        (Channel::<u64>::new(), Channel::<u64>::new(), Channel::<()>::new());
    let workers: Vec<_> = (0..3)
        .map(|_| {
            let (jobs, results) = (jobs.clone(), results.clone());
            spawn(move || (&jobs).into_iter().map(|job| results.send(job * job).unwrap()).count())
        })
        .collect();
    let (queue, done) = (jobs.clone(), stop.clone());
    spawn(move || {
        (1..=1000).for_each(|job| queue.send(job).unwrap());
        queue.close();
        workers.into_iter().for_each(|worker| println!("a worker did {}", worker.join().unwrap()));
        done.send(()).unwrap();
    });
    let mut sum = 0;
    while let Some(square) = Select::new()
        .receive(&results, |square| square.ok())
        .receive(&stop, |_| None)
        .wait()
        .unwrap()
    {
        sum += square;
    }
    assert_eq!(sum, 333_833_500);
    println!("the squares up to 1000 are {sum} together");

    // What nobody ever sends.
    let never = Channel::<u32>::new();
    never.set_name("never");
    let error = never.receive().unwrap_err();
    println!("{error}");
    assert!(error.to_string().contains("main waits at"));
}
