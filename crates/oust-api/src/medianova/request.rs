//! What requests hold: the bodies of logins and purges, the parameters of lists. Unknown fields and parameters are ignored.

use serde_json::{Map, Value};

use crate::call::Call;

/// Most paths of one purge, and most rows of one page.
const MOST: usize = 100;

/// The body of a login: key and secret.
///
/// # Errors
///
/// Names the field that is wrong.
pub(super) fn login(body: &[u8]) -> Result<(String, String), String> {
    let fields = object(body)?;
    let text = |name: &str| {
        fields
            .get(name)
            .and_then(Value::as_str)
            .map(str::to_owned)
            .ok_or_else(|| format!("{name} is required, a string"))
    };
    Ok((text("api_key")?, text("api_secret")?))
}

/// The paths of a purge of a resource, as sent.
///
/// # Errors
///
/// Names the field that is wrong.
pub(super) fn paths(body: &[u8], resource: &str) -> Result<Vec<String>, String> {
    let fields = object(body)?;
    let named = fields.get("resource_uuid").and_then(Value::as_str).ok_or("resource_uuid is required, a string")?;
    if !named.eq_ignore_ascii_case(resource) {
        return Err("resource_uuid is not that of the path".to_owned());
    }
    let required = || format!("file_path is required, an array of 1 to {MOST} strings");
    let paths = fields.get("file_path").and_then(Value::as_array).ok_or_else(required)?;
    if paths.is_empty() || paths.len() > MOST {
        return Err(required());
    }
    paths.iter().map(|path| path.as_str().map(str::to_owned)).collect::<Option<_>>().ok_or_else(required)
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

fn object(body: &[u8]) -> Result<Map<String, Value>, String> {
    match serde_json::from_slice(body) {
        Ok(Value::Object(fields)) => Ok(fields),
        Ok(_) => Err("the body is no JSON object".to_owned()),
        Err(error) => Err(format!("the body is not JSON: {error}")),
    }
}
