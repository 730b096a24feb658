// SPDX-License-Identifier: MIT

//! What `<linux/io_uring/ipc.h>` says, in Rust. The names are those of the header without their
//! prefix `io_uring_ipc_` or `IOIPC_`. The tests compare each number with the header.

pub(crate) const OP_SEND: u8 = 65;
pub(crate) const OP_RECV: u8 = 66;

pub(crate) const SEND_WAIT: u32 = 1 << 0;
pub(crate) const SEND_VEC: u32 = 1 << 1;
#[cfg(feature = "zbus")]
pub(crate) const SEND_FDS: u32 = 1 << 3;

pub(crate) const RECV_WAIT: u32 = 1 << 0;
pub(crate) const RECV_INFO: u32 = 1 << 3;
pub(crate) const RECV_BUNDLE: u32 = 1 << 4;
pub(crate) const RECV_MAPPED: u32 = 1 << 6;
#[cfg(feature = "zbus")]
pub(crate) const RECV_FDS: u32 = 1 << 7;
pub(crate) const RECV_GONE: u32 = 1 << 8;

pub(crate) const REGISTER_CREATE: u32 = 38;
pub(crate) const REGISTER_ATTACH: u32 = 39;
pub(crate) const REGISTER_DETACH: u32 = 40;
pub(crate) const REGISTER_DESTROY: u32 = 41;

/// `IORING_REGISTER_QUERY` of `<linux/io_uring.h>`.
pub(crate) const REGISTER_QUERY: u32 = 35;
pub(crate) const QUERY: u32 = 4;

pub(crate) const MAX_RING_ENTRIES: u32 = 32768;
pub(crate) const MAX_LARGE_MSG_SIZE: u32 = 1 << 26;
pub(crate) const MAX_VEC: u32 = 1024;
#[cfg(feature = "zbus")]
pub(crate) const MAX_FDS: u16 = 64;

pub(crate) const F_BROADCAST: u32 = 1 << 0;
pub(crate) const F_MULTICAST: u32 = 1 << 1;
pub(crate) const F_PRIVATE: u32 = 1 << 2;
pub(crate) const F_OVERWRITE: u32 = 1 << 3;
pub(crate) const F_FAIR: u32 = 1 << 4;

pub(crate) const SUB_SEND: u32 = 1 << 0;
pub(crate) const SUB_RECV: u32 = 1 << 1;
pub(crate) const SUB_HISTORY: u32 = 1 << 2;
pub(crate) const SUB_LOSSY: u32 = 1 << 3;

pub(crate) const INFO_TARGETED: u32 = 1 << 0;

pub(crate) const MSG_READY: u32 = 1;

pub(crate) const MSG_STATE_BITS: u32 = 8;

pub(crate) const RING_VERSION: u32 = 1;
pub(crate) const RING_VERSION_LARGE: u32 = 2;

#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub(crate) struct ChannelCreate {
    pub(crate) flags: u32,
    pub(crate) ring_entries: u32,
    pub(crate) max_msg_size: u32,
    pub(crate) mode: u32,
    pub(crate) key: u64,
    pub(crate) channel_id_out: u32,
    pub(crate) ext_size: u32,
    pub(crate) ext: u64,
}

#[derive(Default)]
#[repr(C)]
pub(crate) struct ChannelAttach {
    pub(crate) channel_id: u32,
    pub(crate) flags: u32,
    pub(crate) key: u64,
    pub(crate) channel_fd: i32,
    pub(crate) local_id_out: u32,
    pub(crate) mmap_offset_out: u64,
    pub(crate) region_size: u32,
    pub(crate) ext_size: u32,
    pub(crate) ext: u64,
}

/// Both `struct io_uring_ipc_channel_ext` and `struct io_uring_ipc_attach_ext`, where `slot_size`
/// is reserved.
#[repr(C)]
pub(crate) struct Ext {
    pub(crate) name: u64,
    pub(crate) name_len: u32,
    pub(crate) slot_size: u32,
}

#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct MsgInfo {
    pub(crate) len: u32,
    pub(crate) msg_id: u32,
    pub(crate) sender_data: u64,
    pub(crate) sender: u32,
    pub(crate) pid: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) flags: u32,
    pub(crate) fds: u32,
    pub(crate) lost: u64,
}

#[repr(C)]
pub(crate) struct MsgDesc {
    pub(crate) offset: u64,
    pub(crate) len: u32,
    pub(crate) msg_id: u32,
    pub(crate) sender_data: u64,
    pub(crate) seq: u32,
    pub(crate) state: u32,
    pub(crate) sender: u32,
    pub(crate) target: u32,
    pub(crate) slots: u32,
    pub(crate) reserved: [u32; 5],
}

/// `struct io_uring_query_hdr` of `<linux/io_uring/query.h>`.
#[repr(C)]
pub(crate) struct QueryHeader {
    pub(crate) next_entry: u64,
    pub(crate) query_data: u64,
    pub(crate) query_op: u32,
    pub(crate) size: u32,
    pub(crate) result: i32,
    pub(crate) reserved: [u32; 3],
}

#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub(crate) struct Query {
    pub(crate) op_send: u32,
    pub(crate) op_recv: u32,
    pub(crate) register_create: u32,
    pub(crate) register_attach: u32,
    pub(crate) register_detach: u32,
    pub(crate) register_destroy: u32,
    pub(crate) channel_flags: u32,
    pub(crate) subscriber_flags: u32,
    pub(crate) send_flags: u32,
    pub(crate) recv_flags: u32,
    pub(crate) channel_ext_size: u32,
    pub(crate) attach_ext_size: u32,
    pub(crate) ring_version: u32,
    pub(crate) max_ring_entries: u32,
    pub(crate) max_msg_size: u32,
    pub(crate) max_subscribers: u32,
    pub(crate) reserved_subscribers: u32,
    pub(crate) max_vec: u32,
    pub(crate) max_name: u32,
    pub(crate) max_large_msg_size: u32,
}

impl Query {
    /// For `size`.
    pub(crate) const SIZE: u32 = 80;
}

impl Ext {
    /// For `ext_size`.
    pub(crate) const SIZE: u32 = 16;
}

/// `producer` and `consumer` of `struct io_uring_ipc_ring`.
#[repr(C, align(64))]
pub(crate) struct Positions {
    pub(crate) head: u32,
    pub(crate) tail: u32,
}

#[repr(C)]
pub(crate) struct RingHeader {
    pub(crate) producer: Positions,
    pub(crate) consumer: Positions,
    pub(crate) ring_mask: u32,
    pub(crate) ring_entries: u32,
    pub(crate) max_msg_size: u32,
    pub(crate) version: u32,
    pub(crate) desc_offset: u32,
    pub(crate) desc_stride: u32,
    pub(crate) data_offset: u32,
    pub(crate) data_stride: u32,
    pub(crate) cursor_offset: u64,
    pub(crate) senders_wait: u32,
    pub(crate) reserved: [u32; 5],
}

#[repr(C)]
pub(crate) struct Cursor {
    pub(crate) position: u32,
    pub(crate) reserved: [u32; 15],
}

/// The part of `struct io_uring_sqe` that requests of channels use. The rest is zero.
#[derive(Clone, Copy, Default)]
#[repr(C)]
pub(crate) struct Sqe {
    pub(crate) opcode: u8,
    pub(crate) flags: u8,
    pub(crate) ioprio: u16,
    pub(crate) fd: u32,
    pub(crate) off: u64,
    pub(crate) addr: u64,
    pub(crate) len: u32,
    pub(crate) rw_flags: u32,
    pub(crate) user_data: u64,
    pub(crate) buf_index: u16,
    pub(crate) personality: u16,
    pub(crate) file_index: u32,
    pub(crate) reserved: [u64; 2],
}

#[cfg(test)]
mod tests {
    use std::{
        fmt::Write,
        io::Write as _,
        mem::{offset_of, size_of},
        process::{Command, Stdio},
    };

    use super::*;

    /// Numbers with what they are called in C.
    type Numbers = Vec<(String, u64)>;

    /// Compares what a C program finds with what this file says.
    fn compare(numbers: &Numbers) {
        let mut program = String::from(
            "#include <stddef.h>\n#include <stdio.h>\n\
             #include <linux/io_uring.h>\n#include <linux/io_uring/ipc.h>\n\
             int main(void)\n{\n",
        );
        for (name, _) in numbers {
            writeln!(
                program,
                "printf(\"%llu\\n\", (unsigned long long)({name}));"
            )
            .unwrap();
        }
        program.push_str("}\n");

        let binary =
            std::env::temp_dir().join(format!("io-uring-ipc-layout-{}", std::process::id()));
        let header = concat!(env!("CARGO_MANIFEST_DIR"), "/../../include/uapi");
        let mut compiler = Command::new("cc")
            .args(["-I", header, "-x", "c", "-", "-o"])
            .arg(&binary)
            .stdin(Stdio::piped())
            .spawn()
            .expect("the test needs a C compiler");
        compiler
            .stdin
            .take()
            .unwrap()
            .write_all(program.as_bytes())
            .unwrap();
        assert!(compiler.wait().unwrap().success());
        let output = Command::new(&binary).output().unwrap();
        std::fs::remove_file(&binary).unwrap();

        let found: Vec<u64> = String::from_utf8(output.stdout)
            .unwrap()
            .lines()
            .map(|line| line.parse().unwrap())
            .collect();
        assert_eq!(found.len(), numbers.len());
        for ((name, ours), theirs) in numbers.iter().zip(found) {
            assert_eq!(*ours, theirs, "{name}");
        }
    }

    macro_rules! constants {
        ($($name:ident)*) => {
            vec![$((concat!("IOIPC_", stringify!($name)).into(), u64::from($name)),)*]
        };
    }

    macro_rules! layout {
        ($numbers:ident: $($ours:ident = $theirs:ident { $($field:ident)* })*) => {$(
            let theirs = concat!("struct ", stringify!($theirs));
            $numbers.push((format!("sizeof({theirs})"), size_of::<$ours>() as u64));
            $($numbers.push((
                format!("offsetof({theirs}, {})", stringify!($field)),
                offset_of!($ours, $field) as u64,
            ));)*
        )*};
    }

    #[test]
    fn as_the_header_of_the_kernel() {
        let mut numbers: Numbers = constants!(
            OP_SEND OP_RECV SEND_WAIT SEND_VEC RECV_WAIT RECV_INFO RECV_BUNDLE RECV_MAPPED
            RECV_GONE QUERY             REGISTER_CREATE REGISTER_ATTACH REGISTER_DETACH REGISTER_DESTROY
            MAX_RING_ENTRIES MAX_LARGE_MSG_SIZE MAX_VEC F_BROADCAST F_MULTICAST F_PRIVATE F_OVERWRITE
            F_FAIR
            SUB_SEND SUB_RECV SUB_HISTORY SUB_LOSSY INFO_TARGETED MSG_READY MSG_STATE_BITS
            RING_VERSION RING_VERSION_LARGE);
        #[cfg(feature = "zbus")]
        numbers.append(&mut constants!(SEND_FDS RECV_FDS MAX_FDS));
        layout!(numbers:
        ChannelCreate = io_uring_ipc_channel_create {
            flags ring_entries max_msg_size mode key channel_id_out ext_size ext
        }
        ChannelAttach = io_uring_ipc_channel_attach {
            channel_id flags key channel_fd local_id_out mmap_offset_out region_size ext_size
            ext
        }
        Ext = io_uring_ipc_channel_ext { name name_len slot_size }
        Ext = io_uring_ipc_attach_ext { name name_len }
        MsgInfo = io_uring_ipc_msg_info {
            len msg_id sender_data sender pid uid gid flags fds lost
        }
        MsgDesc = io_uring_ipc_msg_desc {
            offset len msg_id sender_data seq state sender target slots reserved
        }
        RingHeader = io_uring_ipc_ring {
            producer consumer ring_mask ring_entries max_msg_size version desc_offset
            desc_stride data_offset data_stride cursor_offset senders_wait reserved
        }
        Cursor = io_uring_ipc_cursor { position reserved }
        Query = io_uring_query_ipc {
            op_send op_recv register_create register_attach register_detach register_destroy
            channel_flags subscriber_flags send_flags recv_flags channel_ext_size
            attach_ext_size ring_version max_ring_entries max_msg_size max_subscribers
            reserved_subscribers max_vec max_name max_large_msg_size
        }
        Sqe = io_uring_sqe {
            opcode flags ioprio fd off addr len rw_flags user_data buf_index personality
            file_index
        });
        let positions = [
            ("producer.head", offset_of!(RingHeader, producer.head)),
            ("producer.tail", offset_of!(RingHeader, producer.tail)),
            ("consumer.head", offset_of!(RingHeader, consumer.head)),
        ];
        for (field, offset) in positions {
            let name = format!("offsetof(struct io_uring_ipc_ring, {field})");
            numbers.push((name, offset as u64));
        }
        for (name, size) in [("ipc_channel_ext", Ext::SIZE), ("query_ipc", Query::SIZE)] {
            numbers.push((format!("sizeof(struct io_uring_{name})"), size.into()));
        }
        compare(&numbers);
    }
}
