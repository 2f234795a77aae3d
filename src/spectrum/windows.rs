//! Windows of wavelengths that are left out: lines of stars, interstellar bands, sky lines and absorption
//! of the atmosphere. All in vacuum.

use serde::{Deserialize, Serialize};
use std::ops::Range;

/// In whose frame a window stands still.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Frame {
    /// The star's: its lines.
    Rest,
    /// The observer's (heliocentric, barycentric): atmosphere, sky, and, within some tens of km/s,
    /// interstellar matter.
    Observed,
}

/// A window `[low, high]`, Å in vacuum.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Window {
    pub low: f64,
    pub high: f64,
    pub frame: Frame,
}

/// Balmer cores, ± 8 Å (spec of the DD-Payne preprocessing; NIST wavelengths in vacuum).
const BALMER: [(f64, f64); 5] =
    [centred(6564.61, 8.0), centred(4862.68, 8.0), centred(4341.68, 8.0), centred(4102.89, 8.0), centred(3971.20, 8.0)];
/// Strong diffuse interstellar bands below 9000 Å (Hobbs et al. 2008, ApJ 680, 1256; air wavelengths
/// 4428.2, 5780.5, 5797.1, 6203.1, 6283.8, 6613.6, 8620.4 in vacuum), about their full widths.
const DIB: [(f64, f64); 7] = [
    centred(4429.4, 20.0),
    centred(5782.1, 5.0),
    centred(5798.7, 4.0),
    centred(6204.8, 8.0),
    centred(6285.5, 6.0),
    centred(6615.4, 4.0),
    centred(8622.8, 6.0),
];
/// Interstellar Na D and Ca II H, K.
const INTERSTELLAR: [(f64, f64); 3] = [(5888.0, 5901.0), centred(3934.8, 4.0), centred(3969.6, 4.0)];
/// Sky lines: [O I] 5577, 6300, 6364 and Na D.
const SKY: [(f64, f64); 4] = [(5574.0, 5590.0), (5886.0, 5904.0), (6297.0, 6308.0), (6362.0, 6370.0)];
/// Absorption of O₂ and H₂O.
const TELLURIC: [(f64, f64); 5] = [(6860.0, 6960.0), (7160.0, 7340.0), (7590.0, 7710.0), (8120.0, 8350.0), (8930.0, 9800.0)];
/// Where DESI's arms meet.
const DESI_ARMS: [(f64, f64); 2] = [(5760.0, 5800.0), (7520.0, 7620.0)];
/// Where LAMOST's arms are joined.
const LAMOST_JOIN: [(f64, f64); 1] = [(5700.0, 6000.0)];

const fn centred(centre: f64, half: f64) -> (f64, f64) {
    (centre - half, centre + half)
}

/// Names of the standard sets.
pub fn window_names() -> [&'static str; 7] {
    ["balmer", "dib", "interstellar", "sky", "telluric", "desi-arms", "lamost-join"]
}

/// The windows of a standard set.
pub fn named_windows(name: &str) -> Option<Vec<Window>> {
    let (ranges, frame): (&[(f64, f64)], Frame) = match name {
        "balmer" => (&BALMER, Frame::Rest),
        "dib" => (&DIB, Frame::Observed),
        "interstellar" => (&INTERSTELLAR, Frame::Observed),
        "sky" => (&SKY, Frame::Observed),
        "telluric" => (&TELLURIC, Frame::Observed),
        "desi-arms" => (&DESI_ARMS, Frame::Observed),
        "lamost-join" => (&LAMOST_JOIN, Frame::Observed),
        _ => return None,
    };
    Some(ranges.iter().map(|&(low, high)| Window { low, high, frame }).collect())
}

impl Window {
    /// The pixels that it covers, of pixels at rising wavelengths of the star's frame (Å, vacuum), for a star
    /// whose wavelengths are observed `factor` times as long.
    pub fn pixels(&self, rest: &[f64], factor: f64) -> Range<usize> {
        let factor = match self.frame {
            Frame::Rest => 1.0,
            Frame::Observed => factor,
        };
        let start = rest.partition_point(|centre| centre * factor < self.low);
        start..start + rest[start..].partition_point(|centre| centre * factor <= self.high)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spectrum::{Doppler, Medium};

    #[test]
    fn windows_move_with_their_frame() {
        let factor = Doppler::Classical.factor(1000.0).unwrap();
        let covers = |name: &str, rest: f64, factor: f64| {
            named_windows(name).unwrap().iter().any(|window| window.pixels(&[rest], factor) == (0..1))
        };
        assert!(covers("balmer", 6564.6, factor) && !covers("balmer", 6564.6 / factor, factor));
        assert!(covers("sky", 5578.9 / factor, factor) && !covers("sky", 5578.9, factor));
        for name in window_names() {
            assert!(named_windows(name).unwrap().iter().all(|window| window.low < window.high), "{name}");
        }
        assert!(named_windows("lines").is_none());
    }

    #[test]
    fn bands_are_in_vacuum() {
        for (air, (low, high)) in [4428.2, 5780.5, 5797.1, 6203.1, 6283.8, 6613.6, 8620.4].into_iter().zip(DIB) {
            let vacuum = Medium::Air.convert(air, Medium::Vacuum);
            assert!((0.5 * (low + high) - vacuum).abs() < 0.06, "{air}: {vacuum}");
        }
    }
}
