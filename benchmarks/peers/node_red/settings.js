// Node-RED without an editor, an HTTP server, telemetry or credentials: it runs the flow beside this file.
module.exports = {
    flowFile: "flow.json",
    httpAdminRoot: false,
    httpNodeRoot: false,
    telemetry: { enabled: false, updateNotification: false },
    externalModules: { autoInstall: false, palette: { allowInstall: false, allowUpload: false } },
    credentialSecret: false,
    logging: { console: { level: "info", metrics: false, audit: false } },
};
