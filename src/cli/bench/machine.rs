//! What one core (or the device) can do: a matrix product and a copy, measured.

use crate::run::clock::{Clock, Seconds};
use crate::tensor::{Device, to_f64};
use serde::Serialize;

/// Side of the matrices, and values of the copied array: well beyond the caches.
const SIDE: usize = 768;
const COPIED: usize = 1 << 25;
const REPEATS: usize = 20;

/// Peaks of one core, or of the device for the product.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Machine {
    /// Floating-point operations a second of a product of matrices in single precision.
    pub flops: f64,
    /// Bytes read and written a second by a copy of host memory.
    pub copied_bytes: f64,
}

impl Machine {
    /// Measures on the current thread; the best of several times counts.
    pub fn measure(device: &Device) -> Self {
        let values: Vec<f64> = (0..SIDE * SIDE).map(|i| (i % 17) as f64 / 17.0 - 0.5).collect();
        let matrix = device.tensor::<2>(&values, [SIDE, SIDE]);
        // Asynchronous devices work when a result is asked for; a sum is little to bring back.
        let product = || std::hint::black_box(to_f64(matrix.clone().matmul(matrix.clone()).sum()));
        let mut to = vec![0_f32; COPIED];
        let from: Vec<f32> = (0..COPIED).map(|i| i as f32).collect();
        let copy = || std::hint::black_box(&mut to).copy_from_slice(std::hint::black_box(&from));
        // Processor time is what other programs disturb least, but it does not see another device at work.
        let on_host = device.to_string() == Device::cpu().to_string();
        Self {
            flops: 2.0 * (SIDE as f64).powi(3) / best(product, |time| if on_host { time.cpu } else { time.wall }),
            copied_bytes: (2 * size_of::<f32>() * COPIED) as f64 / best(copy, |time| time.cpu),
        }
    }
}

/// Seconds of the fastest of several calls, after one that does not count.
fn best<T>(mut work: impl FnMut() -> T, pick: impl Fn(Seconds) -> f64) -> f64 {
    work();
    let mut clock = Clock::start();
    let times = (0..REPEATS).map(|_| {
        work();
        pick(clock.lap())
    });
    times.fold(f64::INFINITY, f64::min)
}
