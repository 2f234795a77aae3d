//! Numbers as readers want them: few digits, a true minus sign, an en dash for what is missing.

/// The value with `digits` significant digits, and never fewer than its whole digits; `–` when it is not
/// finite. Powers of ten below 1e-4 and from 1e6 on.
pub fn significant(value: f64, digits: usize) -> String {
    if !value.is_finite() {
        return "–".into();
    }
    if value == 0.0 {
        return "0".into();
    }
    // rounding first: 0.9996 with three digits is 1.00
    let rounded: f64 = format!("{value:.*e}", digits.saturating_sub(1)).parse().unwrap_or(value);
    let exponent = rounded.abs().log10().floor() as i32;
    if !(-4..6).contains(&exponent) {
        let text = format!("{value:.*e}", digits.saturating_sub(1));
        return text.replace('-', "−");
    }
    let decimals = (digits as i32 - 1 - exponent).max(0) as usize;
    format!("{value:.decimals$}").replace('-', "−")
}

/// The value with so many decimals; `–` when it is not finite.
pub fn decimals(value: f64, decimals: usize) -> String {
    if value.is_finite() { format!("{value:.decimals$}").replace('-', "−") } else { "–".into() }
}

/// `value ± error`, both with the decimals that show two digits of the error; the value alone when the error
/// is missing.
pub fn with_error(value: f64, error: f64) -> String {
    if !value.is_finite() || !error.is_finite() || error <= 0.0 {
        return significant(value, 4);
    }
    let decimals = 1 - error.log10().floor() as i32;
    if value.abs().max(error) >= 1e6 || decimals > 7 {
        return format!("{} ± {}", significant(value, 4), significant(error, 2));
    }
    let decimals = decimals.max(0) as usize;
    // adding zero to a rounded value turns −0 into 0
    let rounded = format!("{value:.decimals$}").parse().unwrap_or(value) + 0.0;
    format!("{rounded:.decimals$} ± {error:.decimals$}").replace('-', "−")
}

/// The fraction in percent with one decimal; `–` when it is not finite.
pub fn percent(fraction: f64) -> String {
    if fraction.is_finite() { format!("{:.1} %", 100.0 * fraction).replace('-', "−") } else { "–".into() }
}

/// Rows of equal length as lines of text: the first column at the left, the others at the right.
pub fn aligned(rows: &[Vec<String>]) -> String {
    let n_columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..n_columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().zip(&widths).enumerate();
        let line: Vec<String> = cells
            .map(|(column, (cell, &width))| if column == 0 { format!("{cell:<width$}") } else { format!("{cell:>width$}") })
            .collect();
        text.push_str(line.join("  ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_digits_and_honest_rounding() {
        let found = [0.9996, -123.456, 0.00123456, 5777.0, 3.2e-7, 4.5e9, 0.0, f64::NAN].map(|value| significant(value, 3));
        assert_eq!(found, ["1.00", "−123", "0.00123", "5777", "3.20e−7", "4.50e9", "0", "–"]);
    }

    #[test]
    fn error_sets_the_decimals() {
        assert_eq!(with_error(4.437_21, 0.0312), "4.437 ± 0.031");
        assert_eq!(with_error(-5777.3, 81.2), "−5777 ± 81");
        assert_eq!(with_error(5777.3, 1812.0), "5777 ± 1812");
        assert_eq!(with_error(-0.0002, 0.018), "0.000 ± 0.018");
        assert_eq!(with_error(1.5, f64::NAN), "1.500");
        assert_eq!(with_error(f64::NAN, 1.0), "–");
        assert_eq!(percent(0.6827), "68.3 %");
    }
}
