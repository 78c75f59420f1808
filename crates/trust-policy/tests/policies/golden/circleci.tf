resource "aws_iam_role" "oidc" {
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Effect = "Allow"
        Action = "sts:AssumeRoleWithWebIdentity"
        Principal = {
          Federated = "arn:aws-cn:iam::123456789012:oidc-provider/oidc.circleci.com/org/11111111-2222-3333-4444-555555555555"
        }
        Condition = {
          StringEquals = {
            "oidc.circleci.com/org/11111111-2222-3333-4444-555555555555:aud" = "11111111-2222-3333-4444-555555555555"
          }
          StringLike = {
            "oidc.circleci.com/org/11111111-2222-3333-4444-555555555555:sub" = "org/11111111-2222-3333-4444-555555555555/project/aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee/user/*"
          }
        }
      },
    ]
  })
}
