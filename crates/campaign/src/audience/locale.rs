//! Language tags, in the one form in which they are stored and compared.
//!
//! Source: RFC 5646, section 2.1.1, for the case of the parts. Only the form is checked, not whether a tag is
//! registered.

/// Returns the tag in its usual case, such as `zh-Hant-TW`, or `None` if the text does not have the form of a
/// tag. Apple's `_` is read as `-`.
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
        if place == 0
            && let Some((_, current)) = RENAMED.iter().find(|(old, _)| *old == tag)
        {
            (*current).clone_into(&mut tag);
        }
    }
    Some(tag)
}

/// Outdated language codes that devices still send, with their current codes. Source: the IANA registry of
/// language subtags.
const RENAMED: [(&str, &str); 5] = [
    ("iw", "he"),
    ("in", "id"),
    ("ji", "yi"),
    ("jw", "jv"),
    ("mo", "ro"),
];

/// Returns the tag of the readable part of a text, and whether something was left out.
///
/// It leaves out `.`, `@`, `;` or `,` and everything after it, as in `de_DE.UTF-8`, `en_US@calendar=japanese`
/// and `de-AT,de;q=0.9`. It also leaves out parts that do not have the form of a tag. Returns `None` if not
/// even the language can be read.
#[must_use]
pub fn lenient(text: &str) -> Option<(String, bool)> {
    let text = text.trim();
    let base = text.split(['.', '@', ';', ',']).next().unwrap_or_default();
    let mut rest = base;
    loop {
        if let Some(tag) = canonical(rest) {
            return Some((tag, rest.len() < text.len()));
        }
        (rest, _) = rest.rsplit_once(['-', '_'])?;
    }
}

/// Returns the script of a tag: the stated one, or the likely one of Chinese and Serbian, which have two
/// scripts. Source: CLDR, likely subtags.
#[must_use]
pub fn script(tag: &str) -> Option<&str> {
    let mut parts = tag.split('-');
    let language = parts.next().unwrap_or_default();
    let rest: Vec<&str> = parts.take_while(|part| part.len() > 1).collect();
    let is_script = |part: &&&str| part.len() == 4 && part.bytes().all(|byte| byte.is_ascii_alphabetic());
    if let Some(script) = rest.iter().find(is_script) {
        return Some(*script);
    }
    let is_in = |regions: &[&str]| rest.iter().any(|part| regions.contains(part));
    match language {
        "zh" if is_in(&["TW", "HK", "MO"]) => Some("Hant"),
        "zh" => Some("Hans"),
        "sr" if is_in(&["ME", "RO", "TR"]) => Some("Latn"),
        "sr" => Some("Cyrl"),
        _ => None,
    }
}

/// Returns the language of a tag: the part before its first `-`.
#[must_use]
pub fn language(tag: &str) -> &str {
    tag.split_once('-').map_or(tag, |(language, _)| language)
}

/// The longest tag in bytes: the length that RFC 5646, section 4.4.1, asks every implementation to accept.
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
        assert_eq!(canonical("iw_IL").as_deref(), Some("he-IL"));
        assert_eq!(canonical("in-ID").as_deref(), Some("id-ID"));
    }

    #[test]
    fn what_of_a_locale_can_be_read_is_kept() {
        for (text, tag, is_cut) in [
            ("de_AT", "de-AT", false),
            ("en_US@calendar=japanese", "en-US", true),
            ("ar_AE@numbers=latn", "ar-AE", true),
            ("de_DE.UTF-8", "de-DE", true),
            ("de-AT,de;q=0.9", "de-AT", true),
            ("pt_BR;q=1", "pt-BR", true),
            ("de_ÖS", "de", true),
        ] {
            assert_eq!(lenient(text), Some((tag.to_owned(), is_cut)), "{text}");
        }
        assert_eq!((lenient(""), lenient("@x"), lenient("1")), (None, None, None));
    }

    #[test]
    fn a_script_is_stated_or_likely() {
        for (tag, expected) in [
            ("zh", Some("Hans")),
            ("zh-TW", Some("Hant")),
            ("zh-HK", Some("Hant")),
            ("zh-Hans-HK", Some("Hans")),
            ("sr-Latn-RS", Some("Latn")),
            ("de-AT", None),
        ] {
            assert_eq!(script(tag), expected, "{tag}");
        }
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

    #[test]
    fn the_longest_tag_has_as_many_bytes_as_documented() {
        let longest = format!("de{}-abcde", "-abcdefgh".repeat(3));
        assert_eq!((longest.len(), canonical(&longest)), (35, Some(longest.clone())));
        assert_eq!(canonical(&format!("{longest}f")), None);
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
