//! Sizes as people write them.

/// Bytes, with a decimal (`kB`, `MB`, `GB`) or binary (`KiB`, `MiB`, `GiB`) unit or none.
pub(super) fn size(text: &str) -> Result<u64, String> {
    let malformed = || format!("`{text}` is not a size such as 4096, 10MB or 4MiB");
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = match unit.trim() {
        "" | "B" => 1,
        "kB" | "KB" => 1000,
        "MB" => 1000 * 1000,
        "GB" => 1000 * 1000 * 1000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err(malformed()),
    };
    number.parse::<u64>().ok().and_then(|number| number.checked_mul(unit)).ok_or_else(malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        let table =
            [("0", 0), ("4096", 4096), ("10MB", 10_000_000), ("4MiB", 4 << 20), ("2GiB", 2 << 30), ("1kB", 1000)];
        for (text, bytes) in table {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in ["", "MB", "1X", "-1", "99999999999GiB", "1.5MB"] {
            assert!(size(text).is_err(), "{text}");
        }
    }
}
