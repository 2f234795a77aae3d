//! Axes: ranges that are never degenerate, linear or logarithmic, in either direction, with round ticks.

/// An axis from `start` (left, bottom) to `end` (right, top); `start > end` is a reversed axis.
#[derive(Debug, Clone, PartialEq)]
pub struct Axis {
    pub label: String,
    start: f64,
    end: f64,
    logarithmic: bool,
    named_ticks: Option<Vec<(f64, String)>>,
    pub(super) show_numbers: bool,
}

/// A tick: its value and its label, empty for a minor tick.
#[derive(Debug, Clone, PartialEq)]
pub struct Tick {
    pub value: f64,
    pub label: String,
}

/// The largest magnitude that an axis shows: the differences of anything smaller stay finite.
const LARGEST: f64 = 1e150;

impl Axis {
    /// A linear axis over `range`, which is widened where it is empty or not finite.
    pub fn linear(label: impl Into<String>, range: (f64, f64)) -> Self {
        let (start, end) = widened(range);
        Self { label: label.into(), start, end, logarithmic: false, named_ticks: None, show_numbers: true }
    }

    /// A logarithmic axis over `range`; ends that are not positive are replaced by a thousandth of the other
    /// end, or by one.
    pub fn logarithmic(label: impl Into<String>, (start, end): (f64, f64)) -> Self {
        let usable = |value: f64| value.is_finite() && value > 1.0 / LARGEST;
        let (start, end) = match (usable(start), usable(end)) {
            (true, true) => (start, end),
            (true, false) => (start, start * 1e-3),
            (false, true) => (end * 1e-3, end),
            (false, false) => (1.0, 10.0),
        };
        let (start, end) = (start.min(LARGEST), end.min(LARGEST));
        let (start, end) = if (start / end).ln().abs() < 1e-6 { (start / 2.0, start * 2.0) } else { (start, end) };
        Self { label: label.into(), start, end, logarithmic: true, named_ticks: None, show_numbers: true }
    }

    /// A linear axis over all finite values, with 4 % to spare at either end.
    pub fn covering(label: impl Into<String>, values: impl IntoIterator<Item = f64>) -> Self {
        let (low, high) = widened(extent(values, f64::MIN));
        let spare = 0.04 * (high - low);
        Self::linear(label, (low - spare, high + spare))
    }

    /// A logarithmic axis over all finite positive values, with 4 % to spare at either end.
    pub fn covering_logarithmic(label: impl Into<String>, values: impl IntoIterator<Item = f64>) -> Self {
        let (low, high) = extent(values, f64::MIN_POSITIVE);
        let spare = (high / low).powf(0.04);
        Self::logarithmic(label, if low > 0.0 { (low / spare, high * spare) } else { (low, high) })
    }

    /// The axis in the other direction.
    pub fn reversed(mut self) -> Self {
        std::mem::swap(&mut self.start, &mut self.end);
        self
    }

    /// The axis with ticks but neither numbers nor label, for panels that share it with the one below.
    pub fn without_numbers(mut self) -> Self {
        self.show_numbers = false;
        self
    }

    /// The axis with these ticks only.
    pub fn with_ticks(mut self, ticks: impl IntoIterator<Item = (f64, String)>) -> Self {
        self.named_ticks = Some(ticks.into_iter().collect());
        self
    }

    /// The smaller and the larger end.
    pub fn range(&self) -> (f64, f64) {
        (self.start.min(self.end), self.start.max(self.end))
    }

    /// Position of a value from 0 (start) to 1 (end), beyond these outside; `None` when it has none.
    pub fn position(&self, value: f64) -> Option<f64> {
        let position = if self.logarithmic {
            (value / self.start).ln() / (self.end / self.start).ln()
        } else {
            (value - self.start) / (self.end - self.start)
        };
        position.is_finite().then_some(position)
    }

    /// The value at a position from 0 to 1.
    pub fn value(&self, position: f64) -> f64 {
        if self.logarithmic {
            self.start * (self.end / self.start).powf(position)
        } else {
            self.start + position * (self.end - self.start)
        }
    }

    /// Ticks, about `wanted` of them with labels.
    pub fn ticks(&self, wanted: usize) -> Vec<Tick> {
        let (low, high) = self.range();
        if let Some(named) = &self.named_ticks {
            let named = named.iter().filter(|(value, _)| (low..=high).contains(value));
            return named.map(|(value, label)| Tick { value: *value, label: label.clone() }).collect();
        }
        if self.logarithmic { logarithmic_ticks(low, high, wanted) } else { linear_ticks(low, high, wanted) }
    }
}

/// Smallest and largest of the finite values above `floor`; NaN when there are none.
fn extent(values: impl IntoIterator<Item = f64>, floor: f64) -> (f64, f64) {
    let usable = values.into_iter().filter(|value| value.is_finite() && *value >= floor);
    usable.fold((f64::NAN, f64::NAN), |(low, high), value| (value.min(low), value.max(high)))
}

/// A range that is finite and long enough for distinct ticks, in the given direction.
fn widened((start, end): (f64, f64)) -> (f64, f64) {
    if !start.is_finite() || !end.is_finite() {
        return (0.0, 1.0);
    }
    let (start, end) = (start.clamp(-LARGEST, LARGEST), end.clamp(-LARGEST, LARGEST));
    let size = start.abs().max(end.abs());
    if (end - start).abs() > (1e-9 * size).max(1.0 / LARGEST) {
        return (start, end);
    }
    let half = if size > 0.0 { 0.05 * size } else { 0.5 };
    (start - half, start + half)
}

/// Ticks at multiples of 1, 2 or 5 times a power of ten.
fn linear_ticks(low: f64, high: f64, wanted: usize) -> Vec<Tick> {
    let raw = (high - low) / wanted.max(1) as f64;
    let magnitude = 10.0_f64.powf(raw.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * magnitude).into_iter().find(|&step| step >= 0.75 * raw);
    let step = step.unwrap_or(10.0 * magnitude);
    let first = (low / step - 1e-6).ceil();
    let count = ((high / step + 1e-6).floor() - first).clamp(0.0, 100.0) as usize;
    let largest = low.abs().max(high.abs());
    (0..=count)
        .map(|i| {
            let value = (first + i as f64) * step;
            Tick { value, label: tick_label(value, step, largest) }
        })
        .collect()
}

/// Label with as many decimals as the step needs, in powers of ten where that would be long.
fn tick_label(value: f64, step: f64, largest: f64) -> String {
    if value.abs() < 1e-6 * step {
        return "0".into();
    }
    let decimals = |step: f64| (-(step * 1.0001).log10().floor()).max(0.0) as usize;
    if largest < 1e5 && step >= 0.999e-4 {
        return with_minus(format!("{value:.*}", decimals(step)));
    }
    let exponent = largest.log10().floor() as i32;
    let power = 10.0_f64.powi(exponent);
    with_minus(format!("{:.*}×10^{{{exponent}}}", decimals(step / power), value / power))
}

/// Ticks at powers of ten with minor ticks between; also 2 and 5 times them, or linear ticks, where the range
/// is short.
fn logarithmic_ticks(low: f64, high: f64, wanted: usize) -> Vec<Tick> {
    let decades = (high / low).log10();
    if decades < 0.5 {
        return linear_ticks(low, high, wanted);
    }
    let stride = (decades / wanted.max(1) as f64).ceil().max(1.0) as i32;
    let labelled: &[i32] = match decades {
        d if d < 1.2 && wanted >= 5 => &[1, 2, 3, 5, 7],
        d if d < 2.2 => &[1, 2, 5],
        _ => &[1],
    };
    let mut ticks = Vec::new();
    for exponent in low.log10().floor() as i32..=high.log10().ceil() as i32 {
        for digit in 1..=9 {
            let value = f64::from(digit) * 10.0_f64.powi(exponent);
            let skipped = stride > 1 && (digit > 1 || exponent % stride != 0);
            if skipped || value < low * (1.0 - 1e-9) || value > high * (1.0 + 1e-9) {
                continue;
            }
            let label = match exponent {
                _ if !labelled.contains(&digit) => String::new(),
                -3..=-1 => format!("{value:.*}", -exponent as usize),
                0..=4 => format!("{value:.0}"),
                _ if digit == 1 => format!("10^{{{exponent}}}"),
                _ => format!("{digit}×10^{{{exponent}}}"),
            };
            ticks.push(Tick { value, label: with_minus(label) });
        }
    }
    ticks
}

/// Typographic minus signs for hyphens.
pub(super) fn with_minus(text: String) -> String {
    text.replace('-', "−")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: &Axis, wanted: usize) -> Vec<String> {
        axis.ticks(wanted).into_iter().map(|tick| tick.label).filter(|label| !label.is_empty()).collect()
    }

    #[test]
    fn ticks_are_round_numbers() {
        assert_eq!(labels(&Axis::linear("", (-0.31, 0.33)), 6), ["−0.3", "−0.2", "−0.1", "0", "0.1", "0.2", "0.3"]);
        assert_eq!(labels(&Axis::linear("", (7000.0, 3900.0)), 4), ["4000", "5000", "6000", "7000"]);
        assert_eq!(labels(&Axis::linear("", (0.0, 2.5e6)), 3), ["0", "1×10^{6}", "2×10^{6}"]);
        assert_eq!(labels(&Axis::linear("", (0.0, 3e-5)), 3), ["0", "1×10^{−5}", "2×10^{−5}", "3×10^{−5}"]);
        assert_eq!(labels(&Axis::logarithmic("", (0.9, 2000.0)), 5), ["1", "10", "100", "1000"]);
        assert_eq!(labels(&Axis::logarithmic("", (350.0, 5000.0)), 4), ["500", "1000", "2000", "5000"]);
        assert_eq!(labels(&Axis::logarithmic("", (1e-12, 1.0)), 4), ["10^{−12}", "10^{−9}", "10^{−6}", "0.001", "1"]);
    }

    #[test]
    fn every_range_gives_finite_positions_and_few_ticks() {
        let ends = [0.0, -0.0, 1.0, -3.0, f64::NAN, f64::INFINITY, f64::MAX, f64::MIN_POSITIVE, 1e16, 1e16 + 2.0, -1e300];
        for (start, end) in ends.into_iter().flat_map(|start| ends.map(|end| (start, end))) {
            for axis in [Axis::linear("", (start, end)), Axis::logarithmic("", (start, end)), Axis::covering("", [start, end])] {
                let (low, high) = axis.range();
                assert!(low < high && axis.position(low).is_some(), "{start} {end}");
                assert!(axis.ticks(5).len() < 300, "{start} {end}: {}", axis.ticks(5).len());
            }
        }
        assert_eq!(Axis::covering_logarithmic("", []).range(), (1.0, 10.0));
    }

    #[test]
    fn position_and_value_are_inverses_also_reversed() {
        for axis in [Axis::linear("", (2.0, 5.0)).reversed(), Axis::logarithmic("", (0.1, 50.0))] {
            let value = axis.value(0.3);
            assert!((axis.position(value).unwrap() - 0.3).abs() < 1e-12);
        }
        assert_eq!(Axis::linear("", (2.0, 5.0)).reversed().position(5.0), Some(0.0));
    }
}
