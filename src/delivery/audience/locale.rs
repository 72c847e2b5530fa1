//! The tag of a language and a region, in the one form in which it is stored and compared.
//!
//! Source: RFC 5646, section 2.1.1, for the case of its parts. Which tags there are is nobody's business here.

/// The tag in its usual case, as in `zh-Hant-TW`; none if the text has no such shape. Apple's `_` is taken for `-`.
#[must_use]
pub fn canonical(text: &str) -> Option<String> {
    if text.len() > MAX_LOCALE {
        return None;
    }
    let mut tag = String::with_capacity(text.len());
    let mut is_extension = false;
    for (place, part) in text.split(['-', '_']).enumerate() {
        let letters = part.bytes().all(|byte| byte.is_ascii_alphabetic());
        let shaped = match place {
            0 => letters && (2..=8).contains(&part.len()),
            _ => (1..=8).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric()),
        };
        if !shaped {
            return None;
        }
        if place > 0 {
            tag.push('-');
        }
        is_extension |= place > 0 && part.len() == 1;
        match part.len() {
            2 if place > 0 && !is_extension => tag.push_str(&part.to_ascii_uppercase()),
            4 if place > 0 && !is_extension && letters => {
                tag.push_str(&part.to_ascii_lowercase());
                let first = tag.len().saturating_sub(part.len());
                if let Some(script) = tag.get_mut(first..=first) {
                    script.make_ascii_uppercase();
                }
            }
            _ => tag.push_str(&part.to_ascii_lowercase()),
        }
    }
    Some(tag)
}

/// The language of a tag: what stands before its first `-`.
#[must_use]
pub fn language(tag: &str) -> &str {
    tag.split_once('-').map_or(tag, |(language, _)| language)
}

/// The longest tag in bytes: what RFC 5646, section 4.4.1, asks everyone to take.
pub const MAX_LOCALE: usize = 35;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_tag_has_one_form() {
        for (text, tag) in [
            ("de", "de"),
            ("DE", "de"),
            ("de-at", "de-AT"),
            ("de_AT", "de-AT"),
            ("ZH-HANT-tw", "zh-Hant-TW"),
            ("es-419", "es-419"),
            ("sl-ROZAJ-biske", "sl-rozaj-biske"),
            ("de-DE-u-CO-phonebk", "de-DE-u-co-phonebk"),
        ] {
            assert_eq!(canonical(text).as_deref(), Some(tag), "{text}");
        }
        assert_eq!((language("zh-Hant-TW"), language("de")), ("zh", "de"));
    }

    #[test]
    fn what_has_no_such_shape_is_none() {
        let long = format!("de{}", "-abcdefgh".repeat(4));
        for text in [
            "", "d", "-", "de-", "-de", "de--AT", "de AT", "dé", "d1", "de-AT'", "de@x", &long,
        ] {
            assert_eq!(canonical(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn the_form_of_a_form_is_itself(text in "[a-zA-Z]{1,3}([-_][a-zA-Z0-9]{0,9}){0,4}") {
            if let Some(tag) = canonical(&text) {
                prop_assert_eq!(canonical(&tag), Some(tag));
            }
        }
    }
}
