//! Conditions of writes, as flags, and what is said when they do not hold.

use crate::encoding::Encoding;
use crate::exit::usage;
use doug_client::If;
use std::ffi::OsString;

/// What must hold for a put.
#[derive(clap::Args, Clone)]
#[group(skip)]
pub struct PutCondition {
    /// Only if the key does not exist
    #[arg(long, conflicts_with_all = ["if_revision", "if_value"])]
    if_absent: bool,
    #[command(flatten)]
    of_existing: Condition,
}

impl PutCondition {
    /// The condition on the key written.
    ///
    /// # Errors
    /// A value that is not in the encoding.
    pub fn condition(&self, encoding: Encoding) -> anyhow::Result<If> {
        if self.if_absent { Ok(If::Absent) } else { self.of_existing.condition(encoding) }
    }
}

/// What must hold of a key that exists, for any write.
#[derive(clap::Args, Clone)]
#[group(skip)]
pub struct Condition {
    /// Only if the key was last written at this revision
    #[arg(long, value_name = "N", conflicts_with = "if_value")]
    if_revision: Option<u64>,
    /// Only if the key has this value
    #[arg(long, value_name = "VALUE", allow_hyphen_values = true)]
    if_value: Option<OsString>,
}

impl Condition {
    /// The condition on the key written.
    ///
    /// # Errors
    /// A value that is not in the encoding.
    pub fn condition(&self, encoding: Encoding) -> anyhow::Result<If> {
        Ok(match (&self.if_value, self.if_revision) {
            (Some(value), _) => If::Value(encoding.decode(value).map_err(usage)?),
            (None, Some(revision)) => If::Revision(revision),
            (None, None) => If::Always,
        })
    }
}

/// Says on standard error why nothing was written.
pub fn unmet(key: &str, condition: &If, current_revision: u64) {
    doug_streams::errln!("doug: {}", reason(key, condition, current_revision));
}

fn reason(key: &str, condition: &If, current_revision: u64) -> String {
    let why = match (condition, current_revision) {
        (_, 0) => format!("{key} does not exist"),
        (If::Value(_), revision) => {
            format!("{key} has another value, last written at revision {revision}")
        }
        (_, revision) => format!("{key} was last written at revision {revision}"),
    };
    format!("condition not met: {why}; nothing was written")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_value(value: &str) -> Condition {
        Condition { if_revision: None, if_value: Some(value.into()) }
    }

    #[test]
    fn a_value_to_compare_with_is_read_in_the_encoding() {
        let condition = of_value("00ff").condition(Encoding::Hex).unwrap();
        assert_eq!(condition, If::Value((&b"\x00\xff"[..]).into()));
        let error = of_value("0").condition(Encoding::Hex).unwrap_err();
        assert_eq!(crate::exit::of_error(&error), crate::exit::Exit::Usage);
    }

    #[test]
    fn what_is_said_of_an_unmet_condition_tells_what_is_there() {
        let value = If::Value("v".into());
        let nothing = "nothing was written";
        for (condition, revision, why) in [
            (&If::Revision(3), 0, "k does not exist"),
            (&value, 0, "k does not exist"),
            (&value, 7, "k has another value, last written at revision 7"),
            (&If::Absent, 7, "k was last written at revision 7"),
        ] {
            let said = format!("condition not met: {why}; {nothing}");
            assert_eq!(reason("k", condition, revision), said);
        }
    }
}
