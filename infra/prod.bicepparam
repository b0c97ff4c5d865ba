// For the insurer's record. What is yours comes from environment variables, so that this file stays as it is; a missing
// one is named by the compiler.
using 'main.bicep'

param environmentName = 'prod'

param ledgerName = readEnvironmentVariable('LEDGER_NAME')
param lessorPublicKeys = readEnvironmentVariable('LESSOR_PUBLIC_KEYS')
param ledgerUrls = readEnvironmentVariable('LEDGER_URLS')
param ledgerStreamUrl = readEnvironmentVariable('LEDGER_STREAM_URL', '')
param operatorPrincipalId = readEnvironmentVariable('OPERATOR_PRINCIPAL_ID', '')
param operatorPrincipalType = readEnvironmentVariable('OPERATOR_PRINCIPAL_TYPE', 'User')
param alertEmail = readEnvironmentVariable('ALERT_EMAIL')

// What the insurer enters stands nowhere else: it outlives a zone and a region. Where the region has no zones: Standard_GRS.
param recordSku = 'Standard_GZRS'
param recordDeleteLock = true
param recordReadLogs = true
param relayPlanSku = 'P0v3'
param alwaysReadyInstances = 1
param logRetentionDays = 90
param vaultSoftDeleteDays = 90

// Closed to the public when true; publishing then needs a machine inside the network, see README.md.
param usePrivateNetwork = false
