//! Ids of nodes and databases: 48 random bits, written as 12 hexadecimal digits.

use std::{fmt, str::FromStr};

macro_rules! id48 {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u64);

        impl $name {
            /// Takes the low 48 bits of `bits`.
            pub const fn from_bits(bits: u64) -> Self {
                Self(bits & 0xffff_ffff_ffff)
            }

            /// The 48 bits.
            pub fn bits(self) -> u64 {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:012x}", self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                let digits = text.len() == 12 && text.bytes().all(|b| b.is_ascii_hexdigit());
                match u64::from_str_radix(text, 16) {
                    Ok(bits) if digits => Ok(Self(bits)),
                    _ => Err(InvalidId { what: $what, text: text.to_owned() }),
                }
            }
        }
    };
}

id48!(
    /// Id of a node: made when its empty volume is initialised.
    NodeId,
    "node id"
);
id48!(
    /// Id of a database: made once, at its creation.
    DatabaseId,
    "database id"
);

/// A text that is not an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a {what}: it must be 12 hexadecimal digits")]
pub struct InvalidId {
    what: &'static str,
    text: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_back_from_its_text() {
        let id = NodeId::from_bits(0x9f3c_21d0_7be4);
        assert_eq!(id.to_string(), "9f3c21d07be4");
        assert_eq!("9f3c21d07be4".parse(), Ok(id));
    }

    #[test]
    fn what_is_not_twelve_hexadecimal_digits_is_refused() {
        for text in ["", "9f3c21d07be", "9f3c21d07be45", "+f3c21d07be4", "zzzzzzzzzzzz"] {
            assert!(text.parse::<DatabaseId>().is_err(), "{text}");
        }
    }
}
