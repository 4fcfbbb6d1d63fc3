//! Headers, as librdkafka hands them out.

use std::{ffi::CStr, ptr, slice};

use rdkafka::{
    bindings::{rd_kafka_header_get_all, rd_kafka_message_headers, rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR},
    message::BorrowedMessage,
};

use crate::envelope::Header;

/// The headers of a message, in their order.
///
/// Read through the C interface, since the safe one panics at a name that is not UTF-8, and anybody can send one. Such
/// a name is kept with its odd bytes replaced.
#[allow(unsafe_code)]
pub(super) fn read(message: &BorrowedMessage<'_>) -> Vec<Header> {
    let mut native = ptr::null_mut();
    // SAFETY: the message is alive, and owns the headers for as long as it is.
    if unsafe { rd_kafka_message_headers(message.ptr(), &raw mut native) } != RD_KAFKA_RESP_ERR_NO_ERROR {
        return Vec::new();
    }
    let mut headers = Vec::new();
    loop {
        let (mut name, mut value, mut size) = (ptr::null(), ptr::null(), 0);
        // SAFETY: `native` is the message's own list; an index behind its end is answered with an error.
        let answer =
            unsafe { rd_kafka_header_get_all(native, headers.len(), &raw mut name, &raw mut value, &raw mut size) };
        if answer != RD_KAFKA_RESP_ERR_NO_ERROR || name.is_null() {
            return headers;
        }
        // SAFETY: names end in a NUL; a value that is not null has `size` bytes. Both live as long as the message.
        let (name, value) = unsafe {
            let value = if value.is_null() { &[] } else { slice::from_raw_parts(value.cast::<u8>(), size) };
            (CStr::from_ptr(name).to_string_lossy(), value)
        };
        headers.push(Header::new(name, value));
    }
}
