"""What the hub answers over HTTP: joining, a guest's runs, and Flower's calls of nodes, each to whom it is meant for.

| path            | who                              | to what end                                       |
|-----------------|----------------------------------|---------------------------------------------------|
| /v1/hello       | anybody                          | versions and the hub's clock, for ``doctor``      |
| /v1/join        | the bearer of an invitation      | a certificate, a place in Flower                  |
| /v1/leave       | a member, by its certificate     | gives both back                                   |
| /v1/members     | a member, by its certificate     | who else there is, and the keys they prove by     |
| /v1/runs…       | a guest or coordinator, likewise | begin, look after, stop its own runs              |
| /v1/lines       | a guest, by its certificate      | a standing line to a host that serves scores      |
| /v1/lines/next  | a host, by its certificate       | waits for the next line to it                     |
| /v1/fleet/…     | a member's registered node key   | Flower's SuperNodes; the signature Flower checks  |

Flower's control and runtime APIs have no path here.
"""

from __future__ import annotations

import base64
import binascii
import json
import logging
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import aiohttp
from aiohttp import web

from lab.errors import ServiceError
from lab.hub.joining import VERSIONS, Joining
from lab.hub.lines import Lines
from lab.hub.members import Member, Members
from lab.hub.sessions import HubRun, Sessions
from models.declared import Declared
from models.errors import LianmoError

log = logging.getLogger("lianmo.hub")

CRYPTO: Final = (
    Declared(
        algorithm="TLS 1.2, TLS 1.3",
        purpose="calls of the hub's front to Flower's SuperLink",
        purpose_zh="枢纽前端调用 Flower SuperLink",
        standard="RFC 5246; RFC 8446",
        library="ssl",
    ),
)

#: Flower's chunks of objects have 20 MB; ours are settings and counts.
_MOST_BYTES: Final = 32 * 1024 * 1024
_MOST_OWN_BYTES: Final = 1024 * 1024
#: Longest piece of a path from outside that is written to the log.
_SHOWN: Final = 128
_NODE_KEY: Final = "flwr-public-key"
#: Of Flower's calls of nodes: not register-node and unregister-node, which belong to joining.
_FLEET: Final = frozenset(
    (
        "activate-node",
        "deactivate-node",
        "send-node-heartbeat",
        "pull-messages",
        "push-messages",
        "get-run",
        "get-fab",
        "push-object",
        "pull-object",
        "confirm-message-received",
    )
)
#: Headers between two ends only (RFC 9110 §7.6.1), and what the outgoing sets itself.
_OF_ONE_HOP: Final = frozenset(
    ("connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "host", "content-length")
)


class DeniedError(ServiceError):
    """An answer of its own: ``status`` of HTTP."""

    def __init__(self, status: int, code: str, english: str, chinese: str) -> None:
        super().__init__(code, english, chinese)
        self.status = status


@dataclass(slots=True)
class Front:
    """``superlink``: address of Flower's; ``trusted``: to check its certificate with; ``callers``: ``Door.callers``."""

    members: Members
    joining: Joining
    sessions: Sessions
    lines: Lines
    superlink: str
    trusted: ssl.SSLContext = field(repr=False)
    callers: Mapping[int, str]
    outgoing: aiohttp.ClientSession | None = None

    def app(self) -> web.Application:
        """All paths."""
        app = web.Application(middlewares=[self._problems], client_max_size=_MOST_BYTES)
        app.router.add_get("/v1/hello", self.hello)
        app.router.add_post("/v1/join", self.join)
        app.router.add_post("/v1/leave", self.leave)
        app.router.add_get("/v1/members", self.list_members)
        app.router.add_post("/v1/runs", self.begin)
        app.router.add_get("/v1/runs", self.list_runs)
        app.router.add_get("/v1/runs/{session}", self.show)
        app.router.add_post("/v1/runs/{session}/stop", self.stop)
        app.router.add_post("/v1/runs/{session}/outcome", self.outcome)
        app.router.add_post("/v1/lines", self.open_line)
        app.router.add_post("/v1/lines/next", self.next_line)
        app.router.add_post("/v1/fleet/{call}", self.fleet)
        app.cleanup_ctx.append(self._connected)
        return app

    async def _connected(self, _: web.Application) -> Any:
        timeout = aiohttp.ClientTimeout(total=60)
        async with aiohttp.ClientSession(auto_decompress=False, timeout=timeout, trust_env=False) as self.outgoing:
            yield

    async def hello(self, _: web.Request) -> web.Response:
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        return web.json_response({**VERSIONS, "time": now})

    async def join(self, request: web.Request) -> web.Response:
        return web.json_response(await self.joining.join(await _asked(request)))

    async def leave(self, request: web.Request) -> web.Response:
        member = self._member(request)
        await self.sessions.stop_all(member.party)
        await self.joining.leave(member.party)
        self.lines.keep_to([m.party for m in self.members.all()])
        return web.json_response({"party": member.party})

    async def list_members(self, request: web.Request) -> web.Response:
        self._member(request)
        shown = ("party", "role", "seal_suite", "seal_key", "version", "joined", "flower_node")
        return web.json_response([{name: getattr(m, name) for name in shown} for m in self.members.all()])

    async def begin(self, request: web.Request) -> web.Response:
        guest = self._guest(request)
        of_sites = guest.role == "coordinator"
        asked = await _asked(request)
        try:
            session, hosts, terms = str(asked["session"]), list(asked["hosts"]), json.dumps(asked["terms"])
        except (KeyError, TypeError, ValueError) as error:
            raise DeniedError(400, "bad_request", "session, hosts and terms are needed.", "缺少必要的字段。") from error
        nodes = {guest.party: guest.flower_node}
        find = self._site_or_host if of_sites else self._host
        nodes |= {member.party: member.flower_node for member in map(find, hosts)}
        # Over sites the run goes on without those that leave; it ends with its coordinator.
        lead = guest.party if of_sites else ""
        return web.json_response(self.sessions.begin(session, guest.party, nodes, terms, lead).told(), status=202)

    async def list_runs(self, request: web.Request) -> web.Response:
        guest = self._guest(request)
        return web.json_response([run.told() for run in self.sessions.runs.values() if run.guest == guest.party])

    async def show(self, request: web.Request) -> web.Response:
        return web.json_response(self._run(request).told())

    async def stop(self, request: web.Request) -> web.Response:
        run = self._run(request)
        await self.sessions.stop(run)
        return web.json_response(run.told())

    async def outcome(self, request: web.Request) -> web.Response:
        member = self._member(request)
        asked = await _asked(request)
        ticket, code = str(asked.get("ticket")), str(asked.get("code"))
        self.sessions.ended(request.match_info["session"], member.party, ticket, code)
        return web.json_response({})

    async def open_line(self, request: web.Request) -> web.Response:
        guest = self._guest(request)
        if guest.role != "guest":
            raise _denied("A coordinator scores nobody.", "协调方不参与评分。")
        host = self._host((await _asked(request)).get("host"))
        return web.json_response(await self.lines.open(guest.party, host.party))

    async def next_line(self, request: web.Request) -> web.Response:
        host = self._member(request)
        guests = (await _asked(request)).get("guests")
        if host.role != "host" or not isinstance(guests, list):
            raise _denied(
                "Lines lead to hosts, which name the guests they serve.", "线路仅通往数据方，须写明所服务的银行。"
            )

        def alive() -> bool:
            return request.transport is not None and not request.transport.is_closing()

        return web.json_response(await self.lines.wait(host.party, guests, alive) or {})

    async def fleet(self, request: web.Request) -> web.Response:
        """A node's call, to Flower, if the key it signs with is a member's."""
        call = request.match_info["call"]
        key = request.headers.get(_NODE_KEY, "")
        try:
            public = base64.b64decode(key, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            public = ""
        if call not in _FLEET or not any(member.node_key == public for member in self.members.all()):
            raise _denied("The key of this Flower node is no member's.", "该 Flower 节点的密钥不属于任何成员。")
        assert self.outgoing
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _OF_ONE_HOP}
        body = await request.read()
        target = f"https://{self.superlink}/v1/fleet/{call}"
        try:
            async with self.outgoing.post(
                target, data=body, headers=headers, ssl=self.trusted, allow_redirects=False
            ) as answer:
                kept = {name: value for name, value in answer.headers.items() if name.lower() not in _OF_ONE_HOP}
                return web.Response(status=answer.status, headers=kept, body=await answer.read())
        except (aiohttp.ClientError, TimeoutError) as error:  # it is being started again; nodes try later
            raise DeniedError(503, "superlink_down", "Flower's SuperLink is away.", "SuperLink 暂不可用。") from error

    @web.middleware
    async def _problems(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Errors as RFC 9457 says, and in the hub's log; whoever calls with a wrong path learns no more than that."""
        try:
            return await handler(request)
        except LianmoError as error:
            status = error.status if isinstance(error, DeniedError) else 409
            self._note(request, error.code)
            told = {"type": f"urn:lianmo:problem:{error.code}", "status": status, "code": error.code}
            told |= {"detail": error.english, "detail_zh": error.chinese}
            return web.json_response(told, status=status, content_type="application/problem+json")
        except web.HTTPException as error:
            self._note(request, f"HTTP {error.status}")
            raise
        except ConnectionError:  # it left in the middle of what it said, and hears no answer
            self._note(request, "connection_broken")
            return web.Response(status=400)

    def _note(self, request: web.Request, code: str) -> None:
        """What was refused, and to which address. The path as it was sent, escaped: on one line, and cut short."""
        way = request.transport.get_extra_info("peername")[1] if request.transport else 0
        path, address = request.rel_url.raw_path[:_SHOWN], self.callers.get(way, "?")
        log.warning("refused %s %s from %s: %s", request.method, path, address, code)

    def _run(self, request: web.Request) -> HubRun:
        guest = self._guest(request)
        run = self.sessions.runs.get(request.match_info["session"])
        if run is None or run.guest != guest.party:
            raise DeniedError(404, "no_such_run", "You have no run of this number here.", "本方没有该编号的运行。")
        return run

    def _guest(self, request: web.Request) -> Member:
        member = self._member(request)
        if member.role not in ("guest", "coordinator"):
            raise _denied(
                f"{member.party} is neither guest nor coordinator: it may not start runs.",
                f"{member.party} 无权发起运行。",
            )
        return member

    def _site(self, name: object) -> Member:
        """Label holders answer a coordinator: sites, and guests of other runs."""
        member = self.members.find(str(name))
        if member is None or member.role not in ("site", "guest"):
            raise DeniedError(
                404,
                "party_absent",
                f"{name!s:.64} has not joined this hub as a site. `lianmo hub status` lists who has.",
                f"{name!s:.64} 未以站点身份加入该枢纽。可用 lianmo hub status 查看成员。",
            )
        return member

    def _site_or_host(self, name: object) -> Member:
        """Of a run in both directions data nodes are asked, too."""
        member = self.members.find(str(name))
        return member if member and member.role == "host" else self._site(name)

    def _host(self, name: object) -> Member:
        member = self.members.find(str(name))
        if member is None or member.role != "host":
            raise DeniedError(
                404,
                "party_absent",
                f"{name!s:.64} has not joined this hub as a host. `lianmo hub status` lists who has.",
                f"{name!s:.64} 未以数据方身份加入该枢纽。可用 lianmo hub status 查看成员。",
            )
        return member

    def _member(self, request: web.Request) -> Member:
        """Whose certificate in force the caller showed. Raises ``DeniedError``."""
        secure = request.transport.get_extra_info("ssl_object") if request.transport else None
        shown = (secure.getpeercert() if secure else None) or {}
        names = dict(pair for part in shown.get("subject", ()) for pair in part)
        member = self.members.of_certificate(names.get("commonName", ""), shown.get("serialNumber", ""))
        if member is None:
            raise _denied(
                "A member's certificate is needed, the one of its last joining.", "需要成员最近一次加入时取得的证书。"
            )
        return member


async def _asked(request: web.Request) -> dict[str, Any]:
    """The JSON object in a request. Raises ``DeniedError``."""
    body = bytearray()
    async for piece in request.content.iter_any():  # what it says of its length need not be so
        body += piece
        if len(body) > _MOST_OWN_BYTES:
            raise DeniedError(413, "too_large", "The request is too large.", "请求过大。")
    try:
        asked = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise DeniedError(400, "bad_request", "The request is no JSON.", "请求不是 JSON。") from error
    if not isinstance(asked, dict):
        raise DeniedError(400, "bad_request", "The request is no JSON object.", "请求不是 JSON 对象。")
    return asked


def _denied(english: str, chinese: str) -> DeniedError:
    return DeniedError(403, "denied", english, chinese)
