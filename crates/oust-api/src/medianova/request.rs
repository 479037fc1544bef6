//! What requests hold: the bodies of logins and purges, the parameters of lists. Unknown fields and parameters are ignored.

use crate::body::{Member, members};
use crate::call::Call;

/// Most paths of one purge, and most rows of one page.
const MOST: usize = 100;

/// The body of a login: key and secret.
///
/// # Errors
///
/// Names the field that is wrong.
pub(super) fn login(body: &[u8]) -> Result<(String, String), String> {
    let [key, secret] = members(body, ["api_key", "api_secret"])?;
    let required = |name: &str| format!("{name} is required, a string");
    Ok((key.text().ok_or_else(|| required("api_key"))?, secret.text().ok_or_else(|| required("api_secret"))?))
}

/// The paths of a purge of a resource, as sent.
///
/// # Errors
///
/// Names the field that is wrong.
pub(super) fn paths(body: &[u8], resource: &str) -> Result<Vec<String>, String> {
    let [named, paths] = members(body, ["resource_uuid", "file_path"])?;
    let named = named.text().ok_or("resource_uuid is required, a string")?;
    if !named.eq_ignore_ascii_case(resource) {
        return Err("resource_uuid is not that of the path".to_owned());
    }
    let paths = if let Member::List(paths) = paths { paths.texts(MOST) } else { None };
    paths.ok_or_else(|| format!("file_path is required, an array of 1 to {MOST} strings"))
}

/// Which rows of a list are wanted.
#[derive(Debug)]
pub(super) struct Page {
    /// From 1 on.
    pub(super) page: usize,
    pub(super) limit: usize,
    /// Those of this purge alone.
    pub(super) op_id: Option<String>,
}

impl Page {
    /// # Errors
    ///
    /// Names the parameter that is wrong.
    pub(super) fn read(call: &Call<'_>) -> Result<Self, String> {
        let number = |name: &str| call.parameter(name).and_then(|text| text.parse::<usize>().ok());
        let page = number("page").filter(|&page| page >= 1).ok_or("page is required, a number from 1 on")?;
        let limit = number("limit").filter(|limit| (1..=MOST).contains(limit));
        let limit = limit.ok_or_else(|| format!("limit is required, a number from 1 to {MOST}"))?;
        Ok(Self { page, limit, op_id: call.parameter("opID").filter(|id| !id.is_empty()) })
    }

    /// Rows before it.
    pub(super) fn skip(&self) -> usize {
        self.page.saturating_sub(1).saturating_mul(self.limit)
    }
}
