//! Numbers of bytes on the command line.

use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;

/// Reads bytes as people write them: `1000000`, `512MB`, `2G`, `1.5GB` (thousands), `2GiB` (of 1,024).
pub(super) fn bytes(text: &str) -> Result<u64, String> {
    let unreadable = || "expected bytes such as 512MB, 2GB, 1.5GiB or 1000000".to_owned();
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor: u64 = match text[digits.len()..].to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kb" => 1_000,
        "m" | "mb" => 1_000_000,
        "g" | "gb" => 1_000_000_000,
        "t" | "tb" => 1_000_000_000_000,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        "tib" => 1 << 40,
        _ => return Err(unreadable()),
    };
    let digits = digits.trim_end();
    let is_plain = digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let number: Decimal = digits.parse().ok().filter(|_| is_plain).ok_or_else(unreadable)?;
    let bytes = number.checked_mul(factor.into()).and_then(|bytes| bytes.trunc().to_u64());
    bytes.filter(|bytes| *bytes > 0).ok_or_else(unreadable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        for (text, expected) in [
            ("1000000", 1_000_000),
            ("1B", 1),
            ("512MB", 512_000_000),
            ("2G", 2_000_000_000),
            ("2 GB", 2_000_000_000),
            ("1.5GB", 1_500_000_000),
            ("2GiB", 2_147_483_648),
            ("0.5 MiB", 524_288),
            ("1kb", 1_000),
            ("3T", 3_000_000_000_000),
        ] {
            assert_eq!(bytes(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn other_texts_are_refused_with_an_example() {
        for text in
            ["", "0", "0GB", "-1GB", "GB", "1PB", "1e9", "1.2.3M", "99999999999TB", "18446744073709551616", "0.1B"]
        {
            assert!(bytes(text).unwrap_err().contains("such as 512MB"), "{text}");
        }
    }
}
