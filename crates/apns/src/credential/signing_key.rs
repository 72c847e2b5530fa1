//! The private key that signs provider tokens, read from the text of Apple's `.p8` file.
//!
//! The text passes through consoles, environment files and shells before it becomes a secret. Each changes
//! line breaks and quotes in its own way, and some encode all of it in base64. Unambiguous text is accepted.
//! Otherwise the error names what was pasted, so that the mistake shows up in the deployment and not as a
//! `403` from APNs.
//!
//! Source: RFC 5208 (PKCS#8), RFC 5915 (SEC1), RFC 7468 (PEM).

use std::fmt;
use std::str::FromStr;

use base64ct::{Base64Unpadded, Base64UrlUnpadded, Encoding};
use p256::pkcs8::der::ErrorKind;
use p256::pkcs8::{self, PrivateKeyInfo, SecretDocument};

/// A P-256 private key. Its `Debug` prints nothing of it.
#[derive(Clone)]
pub struct SigningKey(p256::ecdsa::SigningKey);

impl SigningKey {
    pub(crate) const fn es256(&self) -> &p256::ecdsa::SigningKey {
        &self.0
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(..)")
    }
}

impl FromStr for SigningKey {
    type Err = KeyError;

    /// Reads the text of a `.p8` file with real line breaks, with `\n` written out, or on one line. Also
    /// accepts the base64 of the whole file, and the file's base64 lines alone.
    fn from_str(text: &str) -> Result<Self, KeyError> {
        let text = unbend(text);
        if text.is_empty() {
            return Err(KeyError::Empty);
        }
        let pem = canonical_pem(&unwrapped(text))?;
        let (_, document) = SecretDocument::from_pem(&pem).map_err(|error| der_fault(error.kind()))?;
        let info = PrivateKeyInfo::try_from(document.as_bytes()).map_err(|_| KeyError::Garbled)?;
        let oids = info.algorithm.oids().map_err(|_| KeyError::NotP256)?;
        if oids != (p256::elliptic_curve::ALGORITHM_OID, Some(P256_CURVE)) {
            return Err(KeyError::NotP256);
        }
        let key = p256::SecretKey::try_from(info).map_err(|_| KeyError::Garbled)?;
        Ok(Self(key.into()))
    }
}

/// Why a text is not a signing key. Never quotes the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// It is empty.
    #[error("the key is empty")]
    Empty,
    /// It is the file's name, not its content.
    #[error(
        "this is the name of a file; the secret must hold what is in it: `wrangler secret put NAME < AuthKey_….p8`"
    )]
    FileName,
    /// There is no `BEGIN` line.
    #[error("the key is not PEM: it must be the whole .p8 file, from `-----BEGIN PRIVATE KEY-----` on")]
    NotPem,
    /// It is a public key.
    #[error("this is a public key; the private key is in the .p8 file from Apple's developer portal")]
    PublicKey,
    /// It is a certificate.
    #[error(
        "this is a certificate; provider tokens are signed with the .p8 key from Apple's developer portal"
    )]
    Certificate,
    /// It is an elliptic curve key in the older form.
    #[error(
        "this is an EC PRIVATE KEY (SEC1), and must be PKCS#8; \
         convert it with `openssl pkcs8 -topk8 -nocrypt -in key.pem -out key.p8`"
    )]
    Sec1,
    /// It needs a passphrase.
    #[error("the key is encrypted; decrypt it with `openssl pkcs8 -topk8 -nocrypt -in key.pem -out key.p8`")]
    Encrypted,
    /// It is PEM of something else.
    #[error("this is PEM of something else; it must begin with `-----BEGIN PRIVATE KEY-----`")]
    OtherLabel,
    /// It is a private key of another curve or algorithm.
    #[error("the key is not a P-256 elliptic curve key, the only kind that APNs takes")]
    NotP256,
    /// It is cut off.
    #[error("the key is cut off: it must be the whole .p8 file, up to `-----END PRIVATE KEY-----`")]
    CutOff,
    /// It is complete but cannot be decoded.
    #[error("the key is garbled: its base64 does not decode to a private key")]
    Garbled,
}

/// Removes what a shell or an environment file adds: outer quotes, and escaped line breaks, however often
/// they were escaped.
fn unbend(text: &str) -> String {
    let around = |character: char| character.is_whitespace() || matches!(character, '"' | '\'' | '\u{feff}');
    let mut text = text.to_owned();
    while text.contains("\\\\") {
        text = text.replace("\\\\", "\\");
    }
    text.replace("\\r", "")
        .replace("\\n", "\n")
        .replace("\\\n", "\n")
        .trim_matches(around)
        .to_owned()
}

/// Decodes a text that is the base64 of a `.p8` file or of its inner lines. Returns any other text unchanged.
fn unwrapped(text: String) -> String {
    if text.contains("-----") {
        return text;
    }
    let base64: String = text
        .chars()
        .filter(|character| !character.is_whitespace() && *character != '=')
        .collect();
    let bytes = Base64Unpadded::decode_vec(&base64).or_else(|_| Base64UrlUnpadded::decode_vec(&base64));
    let Ok(bytes) = bytes else { return text };
    match String::from_utf8(bytes) {
        Ok(file) if file.contains("-----BEGIN ") => unbend(&file),
        _ if PrivateKeyInfo::try_from(der(&base64).as_slice()).is_ok() => {
            format!("-----BEGIN {LABEL}-----{text}-----END {LABEL}-----")
        }
        _ => text,
    }
}

fn der(base64: &str) -> Vec<u8> {
    Base64Unpadded::decode_vec(base64).unwrap_or_default()
}

/// Returns the PEM with base64 lines of 64 characters, which the parser requires.
fn canonical_pem(text: &str) -> Result<String, KeyError> {
    let is_file_name = !text.contains(char::is_whitespace) && text.to_ascii_lowercase().ends_with(".p8");
    let no_begin = if is_file_name {
        KeyError::FileName
    } else {
        KeyError::NotPem
    };
    let (_, rest) = text.split_once("-----BEGIN ").ok_or(no_begin)?;
    let (label, rest) = rest.split_once("-----").ok_or(KeyError::NotPem)?;
    match label {
        LABEL => {}
        "EC PRIVATE KEY" | "EC PARAMETERS" => return Err(KeyError::Sec1),
        "ENCRYPTED PRIVATE KEY" => return Err(KeyError::Encrypted),
        "RSA PRIVATE KEY" | "DSA PRIVATE KEY" => return Err(KeyError::NotP256),
        "CERTIFICATE" | "CERTIFICATE REQUEST" => return Err(KeyError::Certificate),
        _ if label.ends_with("PUBLIC KEY") => return Err(KeyError::PublicKey),
        _ => return Err(KeyError::OtherLabel),
    }
    let (body, end) = rest.split_once("-----END ").ok_or(KeyError::CutOff)?;
    if !end.starts_with("PRIVATE KEY-----") {
        return Err(KeyError::CutOff);
    }
    let base64: Vec<char> = body
        .chars()
        .filter(|character| !character.is_whitespace())
        .collect();
    if base64.is_empty() || (!base64.len().is_multiple_of(4) && base64.iter().all(is_base64)) {
        return Err(KeyError::CutOff);
    }
    let lines: Vec<String> = base64.chunks(PEM_LINE).map(String::from_iter).collect();
    Ok(format!(
        "-----BEGIN {LABEL}-----\n{}\n-----END {LABEL}-----\n",
        lines.join("\n")
    ))
}

const fn is_base64(character: &char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '+' | '/' | '=')
}

const fn der_fault(kind: ErrorKind) -> KeyError {
    match kind {
        ErrorKind::Incomplete { .. } => KeyError::CutOff,
        _ => KeyError::Garbled,
    }
}

/// The PEM label of an unencrypted PKCS#8 private key.
const LABEL: &str = "PRIVATE KEY";

/// The number of base64 characters in a line. Source: RFC 7468, section 2.
const PEM_LINE: usize = 64;

/// The curve's object identifier, `prime256v1`. Source: RFC 5480, section 2.1.1.1.
const P256_CURVE: pkcs8::ObjectIdentifier = pkcs8::ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider_token::RFC_6979_KEY as PEM;

    #[test]
    fn a_key_is_read_however_its_line_breaks_were_bent() {
        let body: String = PEM.lines().filter(|line| !line.starts_with('-')).collect();
        let bent = [
            PEM.to_owned(),
            PEM.replace('\n', "\r\n"),
            PEM.replace('\n', "\\n"),
            PEM.replace('\n', "\\r\\n"),
            PEM.replace('\n', " "),
            PEM.replace('\n', ""),
            format!("-----BEGIN PRIVATE KEY-----{body}-----END PRIVATE KEY-----"),
            format!("  \"{}\" \n", PEM.replace('\n', "\\n")),
            format!("'{PEM}'"),
            format!("\u{feff}{PEM}"),
            PEM.replace('\n', "\\\\n"),
            PEM.replace('\n', "\\\\\\\\r\\\\\\\\n"),
            PEM.replace('\n', "\\\n"),
            format!("\u{feff}\"{}\"\r\n", PEM.replace('\n', "\r\n")),
            body.clone(),
            body.replace("MIGH", "MIGH\n"),
        ];
        let expected = PEM.parse::<SigningKey>().unwrap().0;
        for text in bent {
            assert_eq!(text.parse::<SigningKey>().map(|key| key.0), Ok(expected.clone()));
        }
    }

    #[test]
    fn the_base64_of_the_whole_file_is_read() {
        let expected = PEM.parse::<SigningKey>().unwrap().0;
        for file in [
            PEM.to_owned(),
            PEM.replace('\n', "\r\n"),
            format!("\u{feff}{PEM}\n"),
        ] {
            let base64 = base64ct::Base64::encode_string(file.as_bytes());
            let lines: Vec<&str> = base64
                .as_bytes()
                .chunks(76)
                .map(|line| std::str::from_utf8(line).unwrap())
                .collect();
            for text in [
                base64.clone(),
                lines.join("\n"),
                lines.join("\\n"),
                format!("\"{base64}\"\r\n"),
                base64ct::Base64UrlUnpadded::encode_string(file.as_bytes()),
            ] {
                let key = text.parse::<SigningKey>();
                assert_eq!(key.map(|key| key.0), Ok(expected.clone()), "{text}");
            }
        }
    }

    #[test]
    fn what_is_wrapped_in_base64_is_named_for_what_it_is() {
        let wrapped = |text: &str| base64ct::Base64::encode_string(text.as_bytes()).parse::<SigningKey>();
        let certificate = PEM.replace("PRIVATE KEY", "CERTIFICATE");
        assert_eq!(wrapped(&certificate).unwrap_err(), KeyError::Certificate);
        assert_eq!(wrapped(&PEM[..PEM.len() / 2]).unwrap_err(), KeyError::CutOff);
    }

    #[test]
    fn a_key_without_its_public_half_is_read() {
        let short = "-----BEGIN PRIVATE KEY-----\n\
            MEECAQAwEwYHKoZIzj0CAQYIKoZIzj0DAQcEJzAlAgEBBCDJr6nYRbp1FmtcIVdn\n\
            sdaTTlDD2zbomxJ7imIrEg9nIQ==\n\
            -----END PRIVATE KEY-----\n";
        assert_eq!(
            short.parse::<SigningKey>().unwrap().0,
            PEM.parse::<SigningKey>().unwrap().0
        );
    }

    #[test]
    fn what_is_not_the_key_is_told_apart() {
        let fault = |text: &str| text.parse::<SigningKey>().unwrap_err();
        let labelled = |label: &str| PEM.replace("PRIVATE KEY", label);
        assert_eq!(fault(" \"\" \\n"), KeyError::Empty);
        assert_eq!(fault("MIGHAgEAMBMGByqGSM49AgEG"), KeyError::NotPem);
        assert_eq!(fault("-----BEGIN PRIVATE KEY"), KeyError::NotPem);
        assert_eq!(fault("./AuthKey_ABC123DEFG.p8\n"), KeyError::FileName);
        assert_eq!(fault(&labelled("PUBLIC KEY")), KeyError::PublicKey);
        assert_eq!(fault(&labelled("CERTIFICATE")), KeyError::Certificate);
        assert_eq!(fault(&labelled("EC PRIVATE KEY")), KeyError::Sec1);
        assert_eq!(fault(&labelled("EC PARAMETERS")), KeyError::Sec1);
        assert_eq!(fault(&labelled("ENCRYPTED PRIVATE KEY")), KeyError::Encrypted);
        assert_eq!(fault(&labelled("RSA PRIVATE KEY")), KeyError::NotP256);
        assert_eq!(fault(&labelled("OPENSSH PRIVATE KEY")), KeyError::OtherLabel);
        assert_eq!(fault(&PEM.replace("MIGH", "M!GH")), KeyError::Garbled);
        assert_eq!(fault(&PEM.replace("Z7HWk05Q", "AAAAAAAAAAAA")), KeyError::Garbled);
        assert!(
            KeyError::Sec1
                .to_string()
                .contains("openssl pkcs8 -topk8 -nocrypt")
        );
    }

    #[test]
    fn a_key_of_another_curve_or_algorithm_is_refused_as_such() {
        let p384 = "-----BEGIN PRIVATE KEY-----\n\
            MIG2AgEAMBAGByqGSM49AgEGBSuBBAAiBIGeMIGbAgEBBDCqQNuutGXRo56b8mAG\n\
            oE66CGaVYrB+VWHT0kkTsmuKa2SGyNS5CbL168DFzDf23dihZANiAAQsLCsaWC+J\n\
            mTyykwEUycDiM5UdCp8OFsafCwWOq/bljggf+vpBa8OUSfcokWfldNnILEa9144H\n\
            2BMD7H+ZOdRoPxOXTyivOT1tC4KtWTIPG/CdAYFO5i4HDfas+4HbmS0=\n\
            -----END PRIVATE KEY-----\n";
        let ed25519 = "-----BEGIN PRIVATE KEY-----\n\
            MC4CAQAwBQYDK2VwBCIEIPsAYYmfyNmaWK1ojavCQaQj1D1/KaxpRpG8CohpU0KW\n\
            -----END PRIVATE KEY-----\n";
        for text in [p384, ed25519] {
            assert_eq!(text.parse::<SigningKey>().unwrap_err(), KeyError::NotP256);
        }
    }

    #[test]
    fn a_key_cut_off_anywhere_is_never_taken() {
        for end in 1..PEM.trim_end().len() {
            let fault = PEM[..end].parse::<SigningKey>().unwrap_err();
            assert!(
                matches!(fault, KeyError::NotPem | KeyError::CutOff),
                "{end}: {fault}"
            );
        }
        let without_a_line: String = PEM.lines().filter(|line| !line.starts_with("Z7HW")).collect();
        assert_eq!(
            without_a_line.parse::<SigningKey>().unwrap_err(),
            KeyError::CutOff
        );
    }

    #[test]
    fn a_key_and_its_faults_never_print_it() {
        let key = PEM.parse::<SigningKey>().unwrap();
        assert_eq!(format!("{key:?}"), "SigningKey(..)");
        let fault = PEM.replace("MIGH", "M!GH").parse::<SigningKey>().unwrap_err();
        assert!(!fault.to_string().contains("M!GH"));
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in ".*", body in "[A-Za-z0-9+/= \\n\\\\-]*") {
            let _ = text.parse::<SigningKey>();
            let wrapped = format!("-----BEGIN PRIVATE KEY-----{body}-----END PRIVATE KEY-----");
            let _ = wrapped.parse::<SigningKey>();
        }
    }
}
