//! Parses the ids of batches and campaigns: 32 hex digits, so that no id can change a path.

/// Returns the id as the server writes it, or `None` if the text is not an id.
pub(crate) fn read(text: &str) -> Option<String> {
    let is_id = text.len() == LEN && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_id.then(|| text.to_ascii_lowercase())
}

/// The digits of an id: 16 bytes.
const LEN: usize = 32;

#[test]
fn an_id_cannot_lead_to_another_path() {
    let id = read("0123456789ABCDEF0123456789abcdef");
    assert_eq!(id.as_deref(), Some("0123456789abcdef0123456789abcdef"));
    for text in [
        "",
        "0123",
        "../0123456789abcdef0123456789abc",
        "0123456789abcdef0123456789abcde?",
    ] {
        assert_eq!(read(text), None, "{text}");
    }
}
