//! The id of a push, chosen once and kept on every resend.
//!
//! Source: Apple, "Sending notification requests to APNs", `apns-id`: a UUID in its canonical form.

use std::fmt;

/// A UUID.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ApnsId([u8; 16]);

impl ApnsId {
    /// Reads the canonical form, 8-4-4-4-12 hex digits.
    ///
    /// # Errors
    /// Returns an error if the text has another form.
    pub fn parse(text: &str) -> Result<Self, BadApnsId> {
        let groups: Vec<&str> = text.split('-').collect();
        if !groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12]) {
            return Err(BadApnsId);
        }
        let mut bytes = [0; 16];
        let mut digits = groups
            .iter()
            .flat_map(|group| group.chars())
            .map(|digit| digit.to_digit(16));
        for byte in &mut bytes {
            let (Some(Some(high)), Some(Some(low))) = (digits.next(), digits.next()) else {
                return Err(BadApnsId);
            };
            *byte = u8::try_from(high * 16 + low).map_err(|_| BadApnsId)?;
        }
        Ok(Self(bytes))
    }

    /// Derives the id of push number `index` of the request that `seed`, 16 random bytes, belongs to.
    ///
    /// Uses version 8 of RFC 9562: 90 random bits identify the request, the last 32 bits count its pushes.
    #[must_use]
    pub const fn derive(seed: [u8; 16], index: u32) -> Self {
        let mut bytes = seed;
        let [a, b, c, d] = index.to_be_bytes();
        let [.., w, x, y, z] = &mut bytes;
        (*w, *x, *y, *z) = (a, b, c, d);
        let [_, _, _, _, _, _, version, _, variant, ..] = &mut bytes;
        *version = (*version & 0x0f) | 0x80;
        *variant = (*variant & 0x3f) | 0x80;
        Self(bytes)
    }
}

impl fmt::Display for ApnsId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.to_ascii()).unwrap_or_default())
    }
}

impl ApnsId {
    /// Returns the canonical form as ASCII, in lower case.
    #[must_use]
    pub fn to_ascii(self) -> [u8; 36] {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let mut text = [b'-'; 36];
        let places = (0..36_usize).filter(|place| !matches!(place, 8 | 13 | 18 | 23));
        let nibbles = self.0.iter().flat_map(|byte| [byte >> 4, byte & 15]);
        for (place, nibble) in places.zip(nibbles) {
            if let (Some(slot), Some(digit)) = (text.get_mut(place), HEX.get(usize::from(nibble))) {
                *slot = *digit;
            }
        }
        text
    }
}

impl fmt::Debug for ApnsId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApnsId({self})")
    }
}

/// The text is not a canonical UUID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a UUID of 8-4-4-4-12 hex digits, as in `123e4567-e89b-12d3-a456-426614174000`")]
pub struct BadApnsId;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn upper_case_is_read_and_lower_case_written() {
        let id = ApnsId::parse("123E4567-E89B-12D3-A456-426614174000").unwrap();
        assert_eq!(id.to_string(), "123e4567-e89b-12d3-a456-426614174000");
    }

    #[test]
    fn other_forms_are_refused() {
        for text in [
            "",
            "123e4567e89b12d3a456426614174000",
            "{123e4567-e89b-12d3-a456-426614174000}",
            "123e4567-e89b-12d3-a456-42661417400g",
            "123e4567-e89b-12d3-a456-4266141740000",
        ] {
            assert_eq!(ApnsId::parse(text), Err(BadApnsId), "{text}");
        }
    }

    #[test]
    fn a_derived_id_format_unchanged() {
        // A resend after a deploy must carry the id of the first attempt.
        let id = ApnsId::derive([0xab; 16], 258);
        assert_eq!(id.to_string(), "abababab-abab-8bab-abab-abab00000102");
    }

    proptest! {
        #[test]
        fn every_push_of_a_request_has_its_own_id(seed: [u8; 16], a: u32, b: u32) {
            prop_assert_eq!(ApnsId::derive(seed, a) == ApnsId::derive(seed, b), a == b);
            let id = ApnsId::derive(seed, a);
            prop_assert_eq!(ApnsId::parse(&id.to_string()), Ok(id));
        }

        #[test]
        fn parsing_never_panics(text in ".{0,40}") {
            let _ = ApnsId::parse(&text);
        }
    }
}
