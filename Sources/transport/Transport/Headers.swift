// Header fields between NIO's type and the product's.

import HTTP
import NIOHTTP1

extension HTTP.HTTPHeaders {
    init(_ headers: NIOHTTP1.HTTPHeaders) { self.init(fields: headers.map { Field(name: $0.name, value: $0.value) }) }
}

extension NIOHTTP1.HTTPHeaders {
    init(_ headers: HTTP.HTTPHeaders) { self.init(headers.fields.map { ($0.name, $0.value) }) }
}
