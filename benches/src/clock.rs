//! Medians of many short samples, taken in turns, so that a busy neighbour hits all cases alike.

use crate::{Case, Run};
use std::time::Instant;

/// How long one sample takes, in nanoseconds.
const SAMPLE: f64 = 1_500_000.0;

/// The nanoseconds that each case takes, as the median of `samples`.
pub fn medians(cases: &[&Case], samples: usize) -> Vec<f64> {
    let mut runs: Vec<(Run, u64)> = cases.iter().map(|case| prepare((case.make)())).collect();
    let mut times = vec![Vec::with_capacity(samples); cases.len()];
    for _ in 0..samples {
        for ((run, n), times) in runs.iter_mut().zip(&mut times) {
            times.push(time(run, *n) / *n as f64);
        }
    }
    times.into_iter().map(median).collect()
}

fn time(run: &mut Run, n: u64) -> f64 {
    let start = Instant::now();
    run(n);
    start.elapsed().as_nanos() as f64
}

/// Warms up, and finds how often the operation fits into a sample.
fn prepare(mut run: Run) -> (Run, u64) {
    let mut n = 16;
    loop {
        let took = time(&mut run, n);
        if took > SAMPLE / 8.0 {
            return (run, ((n as f64 * SAMPLE / took) as u64).max(1));
        }
        n *= 2;
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
