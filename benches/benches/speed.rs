//! Every case with criterion.

use criterion::{BenchmarkId, Criterion, SamplingMode};
use greenlet_benches::cases;
use std::time::{Duration, Instant};

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(100))
        .measurement_time(Duration::from_millis(600))
        .sample_size(40)
        .nresamples(2000)
        .without_plots()
        .configure_from_args();
    for case in cases::all() {
        let mut group = criterion.benchmark_group(case.group);
        group.sampling_mode(SamplingMode::Flat);
        group.bench_function(BenchmarkId::from_parameter(&case.name), |bencher| {
            let mut run = (case.make)();
            bencher.iter_custom(|n| {
                let start = Instant::now();
                run(n);
                start.elapsed()
            });
        });
        group.finish();
    }
    criterion.final_summary();
}
