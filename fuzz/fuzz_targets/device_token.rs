//! Any text as a device token: what is taken is clean, and what is refused is not quoted.

#![no_main]

use apns::DeviceToken;
use apns::device_token::MAX_HEX_LEN;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let digits: String = text.chars().filter(char::is_ascii_hexdigit).collect();
    let digits = digits.to_ascii_lowercase();
    match DeviceToken::parse(text) {
        Ok(token) => {
            assert_eq!(token.as_hex(), digits, "no digit is added, lost or moved");
            assert!((2..=MAX_HEX_LEN).contains(&digits.len()) && digits.len() % 2 == 0);
            assert_eq!(DeviceToken::parse(&digits).as_ref(), Ok(&token));
            let spaced = format!(" <{}>\n", digits.to_ascii_uppercase());
            assert_eq!(DeviceToken::parse(&spaced).as_ref(), Ok(&token));
            assert!(token.hint().chars().filter(char::is_ascii_hexdigit).count() <= 8);
            assert_eq!(format!("{token:?}"), format!("DeviceToken({})", token.hint()));
        }
        Err(error) => {
            let told = error.to_string().to_ascii_lowercase();
            assert!(digits.len() <= 16 || !told.contains(&digits), "{told}");
        }
    }
});
