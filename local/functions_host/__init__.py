"""A local host for a Function app: Microsoft's worker library runs the functions, this package does the rest.

This is not the Azure Functions host. The .NET host cannot be had from a package registry, so what it does between the
socket and the function is written again here, after its source (azure-functions-host 4.x and the HTTP extension of
azure-webjobs-sdk-extensions): routes, keys, throttling, the shape of a request and of a reply. Indexing and invoking
are Microsoft's own: `azure-functions-runtime`, the library that Azure itself runs Python 3.13 functions with.

Imitated:
- routes are tried in the order of the functions' names, case-blind, with the `routePrefix` of host.json;
  a known path with a method that nobody takes is a 404, not a 405;
- keys are enforced, unlike under `func start`, because the product relies on them: `x-functions-key`, else `?code=`;
  the master key, host keys, and keys of one function alone; too little is a 401 with no body;
- header names arrive in lower case; values of a repeated query parameter are joined by commas, empty ones are dropped;
- a body without a Content-Length (chunked) arrives empty; one over 100 MB is a 413;
- an exception, and returning None where a response was promised, is a 500 with no body;
- `maxConcurrentRequests`, `maxOutstandingRequests` (429) and `customHeaders` of host.json;
- a function with a timer runs on POST /admin/functions/NAME with the master key, answered by 202.

Not imitated: the timers' clock, other triggers, and bindings other than the HTTP response (such functions are named at
the start and not served), the other /admin endpoints, CORS, and what the platform in front of the host
adds (the 230 s limit, the 4 KB limit of a URL, cold starts). Other settings of host.json are named at the start.
"""
