module jujuc-peer

go 1.24
