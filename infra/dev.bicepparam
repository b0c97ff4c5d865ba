// For trying it out, in the smallest sizes. What is yours comes from environment variables, so that this file stays as it
// is; a missing one is named by the compiler.
using 'main.bicep'

param environmentName = 'dev'

param ledgerName = readEnvironmentVariable('LEDGER_NAME')
param lessorPublicKeys = readEnvironmentVariable('LESSOR_PUBLIC_KEYS')
param ledgerUrls = readEnvironmentVariable('LEDGER_URLS')
param ledgerStreamUrl = readEnvironmentVariable('LEDGER_STREAM_URL', '')
param operatorPrincipalId = readEnvironmentVariable('OPERATOR_PRINCIPAL_ID', '')
param operatorPrincipalType = readEnvironmentVariable('OPERATOR_PRINCIPAL_TYPE', 'User')
param alertEmail = readEnvironmentVariable('ALERT_EMAIL', '')

param recordSku = 'Standard_LRS'
param recordDeleteLock = false
param recordReadLogs = false
param relayPlanSku = 'B1'
param alwaysReadyInstances = 0
param logRetentionDays = 30
param vaultSoftDeleteDays = 7
param usePrivateNetwork = false
