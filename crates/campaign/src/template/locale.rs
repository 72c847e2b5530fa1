//! Chooses the variant of a device: the one with the longest prefix of its locale.

use crate::audience::locale as tags;

/// Returns the value whose key is the longest prefix of `locale`, part by part and ignoring case: `de-AT`
/// matches `de-AT`, or else `de`.
///
/// Both are compared as canonical tags, so `iw` equals `he`. A key matches only locales with its script,
/// stated or likely: `zh` is simplified Chinese, so `zh-TW` matches `zh-Hant` but not `zh`.
pub(super) fn longest_prefix<'k, T>(locale: &str, keys: impl Iterator<Item = (&'k str, T)>) -> Option<T> {
    let canonical = |tag: &str| tags::canonical(tag).unwrap_or_else(|| tag.to_owned());
    let locale = canonical(locale);
    let script = tags::script(&locale);
    let without_script = script.map(|script| locale.replacen(&format!("-{script}"), "", 1));
    let with_script = script.zip(without_script.as_deref()).map(|(script, tag)| {
        let language = language(tag);
        format!(
            "{language}-{script}{}",
            tag.get(language.len()..).unwrap_or_default()
        )
    });
    let forms = [Some(&locale), without_script.as_ref(), with_script.as_ref()];
    let matches = |key: &str| {
        let key = canonical(key);
        tags::script(&key) == script && forms.iter().flatten().any(|form| is_prefix(&key, form))
    };
    keys.filter(|(key, _)| matches(key))
        .max_by_key(|(key, _)| key.len())
        .map(|(_, value)| value)
}

/// Returns the part of a locale before the first `-`.
pub(super) fn language(locale: &str) -> &str {
    locale.split_once('-').map_or(locale, |(language, _)| language)
}

/// Whether a text has the form of a BCP 47 locale, such as `de`, `de-AT` or `zh-Hant-TW`: a language, and
/// parts of one to eight letters and digits.
#[must_use]
pub fn is_locale(text: &str) -> bool {
    let mut parts = text.split('-');
    let is_language =
        |part: &str| (2..=8).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphabetic());
    let is_part =
        |part: &str| (1..=8).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric());
    text.len() <= MAX_LOCALE && parts.next().is_some_and(is_language) && parts.all(is_part)
}

fn is_prefix(key: &str, locale: &str) -> bool {
    let Some((start, rest)) = locale.split_at_checked(key.len()) else {
        return false;
    };
    start.eq_ignore_ascii_case(key) && (rest.is_empty() || rest.starts_with('-'))
}

/// The longest locale in bytes: the limit that RFC 5646, section 4.4.1, allows.
const MAX_LOCALE: usize = 35;

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(locale: &str) -> Option<&'static str> {
        let keys = ["de", "de-at", "zh-Hant", "PT-br"];
        longest_prefix(locale, keys.iter().map(|key| (*key, *key)))
    }

    #[test]
    fn the_longest_prefix_is_chosen_whatever_the_case() {
        for (locale, expected) in [
            ("de", Some("de")),
            ("de-AT", Some("de-at")),
            ("DE-at-1996", Some("de-at")),
            ("de-CH", Some("de")),
            ("zh-hant-TW", Some("zh-Hant")),
            ("zh", None),
            ("pt-BR", Some("PT-br")),
            ("pt", None),
            ("den", None),
            ("", None),
            ("dé", None),
        ] {
            assert_eq!(chosen(locale), expected, "{locale}");
        }
    }

    #[test]
    fn a_variant_is_found_by_language_and_likely_script() {
        let keys = ["he", "id", "zh-Hant", "zh"];
        let chosen = |locale: &str| longest_prefix(locale, keys.iter().map(|key| (*key, *key)));
        for (locale, expected) in [
            ("iw-IL", Some("he")),
            ("in-ID", Some("id")),
            ("zh-TW", Some("zh-Hant")),
            ("zh-HK", Some("zh-Hant")),
            ("zh-Hant-HK", Some("zh-Hant")),
            ("zh-CN", Some("zh")),
            ("zh-Hans-HK", Some("zh")),
            ("zh", Some("zh")),
        ] {
            assert_eq!(chosen(locale), expected, "{locale}");
        }
        let only = |key: &'static str, locale: &str| longest_prefix(locale, std::iter::once((key, key)));
        assert_eq!(only("zh", "zh-TW"), None, "it is in another script");
        assert_eq!(only("zh-TW", "zh-Hant-TW"), Some("zh-TW"));
        assert_eq!(only("iw", "he-IL"), Some("iw"));
    }

    #[test]
    fn the_longest_locale_of_a_variant_has_as_many_bytes_as_documented() {
        let longest = format!("de{}-abcde", "-abcdefgh".repeat(3));
        assert_eq!((longest.len(), is_locale(&longest)), (35, true));
        assert!(!is_locale(&format!("{longest}f")));
    }

    #[test]
    fn a_locale_has_a_language_and_parts() {
        for text in ["de", "de-AT", "zh-Hant-TW", "es-419", "sl-rozaj-biske-1994"] {
            assert!(is_locale(text), "{text}");
        }
        for text in [
            "",
            "d",
            "de_AT",
            "de-",
            "-de",
            "de--AT",
            "1a",
            "de-abcdefghi",
            "dé",
            &"ab-".repeat(12),
        ] {
            assert!(!is_locale(text), "{text}");
        }
        assert_eq!((language("zh-Hant-TW"), language("de")), ("zh", "de"));
    }
}
