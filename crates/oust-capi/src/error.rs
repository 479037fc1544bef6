//! Why a call failed, and what the calling thread is told of it.
//!
//! 1. A failed call leaves its fault with the thread that made it; a call that succeeds leaves the last one as it is.
//! 2. Nothing is written, allocated or cleared on the way of a call that succeeds.

use std::borrow::Cow;
use std::cell::RefCell;
use std::ffi::{CString, c_char};

use http::header::{InvalidHeaderName, InvalidHeaderValue};
use oust::BuildError;
use oust::key::KeyError;
use oust::purge::{PurgeError, PurgeErrorKind};

use crate::ffi::types::{oust_code, oust_error_info};

/// A failed call. Boxed, since it is the rare half of a result.
#[derive(Debug)]
pub(crate) struct Fault(Box<Told>);

#[derive(Debug)]
struct Told {
    code: oust_code,
    message: Cow<'static, str>,
    selector: Option<usize>,
    position: Option<usize>,
    limit: Option<(&'static str, u64)>,
}

/// What a thread is told of its last failed call.
struct Last {
    told: Told,
    message: CString,
    limit: CString,
}

thread_local! {
    static LAST: RefCell<Option<Box<Last>>> = const { RefCell::new(None) };
}

impl Fault {
    #[cold]
    pub(crate) fn new(code: oust_code, message: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Told { code, message: message.into(), selector: None, position: None, limit: None }))
    }

    pub(crate) fn null(what: &'static str) -> Self {
        Self::new(oust_code::OUST_E_NULL, format!("`{what}` is NULL"))
    }

    pub(crate) fn argument(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(oust_code::OUST_E_ARGUMENT, message)
    }

    #[cfg(test)]
    pub(crate) fn code(&self) -> oust_code {
        self.0.code
    }

    #[cfg(test)]
    pub(crate) fn text(&self) -> &str {
        &self.0.message
    }

    /// Leaves it with the calling thread.
    #[cold]
    pub(crate) fn leave(self) -> oust_code {
        let told = *self.0;
        let code = told.code;
        let message = c_string(&told.message);
        let limit = c_string(told.limit.map_or("", |(name, _)| name));
        // A thread that is ending has nobody left to ask.
        let left = LAST.try_with(|last| {
            if let Ok(mut last) = last.try_borrow_mut() {
                *last = Some(Box::new(Last { told, message, limit }));
            }
        });
        left.map_or(code, |()| code)
    }
}

/// Texts are told as far as C can: a NUL inside becomes a question mark.
fn c_string(text: &str) -> CString {
    CString::new(text.replace('\0', "?")).unwrap_or_default()
}

/// The message of the thread's last failed call; stays until its next one.
pub(crate) fn last_message() -> *const c_char {
    let message =
        LAST.try_with(|last| last.try_borrow().ok().and_then(|last| last.as_ref().map(|last| last.message.as_ptr())));
    message.ok().flatten().unwrap_or(c"".as_ptr())
}

/// The rest of it.
pub(crate) fn last_info() -> oust_error_info {
    let size = size_of::<oust_error_info>();
    let none = oust_error_info {
        size,
        code: oust_code::OUST_OK,
        selector: -1,
        position: -1,
        limit: 0,
        limit_name: c"".as_ptr(),
        message: c"".as_ptr(),
    };
    let index = |at: Option<usize>| at.and_then(|at| i64::try_from(at).ok()).unwrap_or(-1);
    let info = LAST.try_with(|last| {
        let last = last.try_borrow().ok()?;
        let last = last.as_ref()?;
        Some(oust_error_info {
            size,
            code: last.told.code,
            selector: index(last.told.selector),
            position: index(last.told.position),
            limit: last.told.limit.map_or(0, |(_, value)| value),
            limit_name: last.limit.as_ptr(),
            message: last.message.as_ptr(),
        })
    });
    info.ok().flatten().unwrap_or(none)
}

impl From<KeyError> for Fault {
    fn from(error: KeyError) -> Self {
        let code = if error.is_too_long() { oust_code::OUST_E_TOO_LARGE } else { oust_code::OUST_E_KEY };
        let mut fault = Self::new(code, error.to_string());
        (fault.0.position, fault.0.limit) = (error.position(), error.limit());
        fault
    }
}

impl From<PurgeError> for Fault {
    fn from(error: PurgeError) -> Self {
        let code = match error.kind() {
            PurgeErrorKind::TooLarge => oust_code::OUST_E_TOO_LARGE,
            PurgeErrorKind::OverBudget => oust_code::OUST_E_OVER_BUDGET,
            PurgeErrorKind::TooManyRules => oust_code::OUST_E_TOO_MANY_RULES,
            PurgeErrorKind::NoSuchLayer => oust_code::OUST_E_NO_LAYER,
            PurgeErrorKind::NotDurable => oust_code::OUST_E_NOT_DURABLE,
            _ => oust_code::OUST_E_SELECTOR,
        };
        let mut fault = Self::new(code, error.to_string());
        (fault.0.selector, fault.0.position, fault.0.limit) = (error.selector(), error.position(), error.limit());
        fault
    }
}

impl From<BuildError> for Fault {
    fn from(error: BuildError) -> Self {
        let code = if error.is_storage() { oust_code::OUST_E_STORAGE } else { oust_code::OUST_E_CONFIG };
        Self::new(code, error.to_string())
    }
}

impl From<InvalidHeaderName> for Fault {
    fn from(_: InvalidHeaderName) -> Self {
        Self::new(oust_code::OUST_E_FIELD, "not the name of a header field")
    }
}

impl From<InvalidHeaderValue> for Fault {
    fn from(_: InvalidHeaderValue) -> Self {
        Self::new(oust_code::OUST_E_FIELD, "not the value of a header field")
    }
}
